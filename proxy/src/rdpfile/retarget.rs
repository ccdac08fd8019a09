//! A profile that leads through rdpscope: as few lines as possible are changed.

use super::address::{Address, AddressFault};
use super::encoding::Encoding;
use super::keys;
use super::profile::Profile;
use super::shown::quoted;
use std::net::{Ipv4Addr, SocketAddr};

/// Where `rdpscope proxy` listens by itself: without a gateway, and with one.
const LISTENS: [u16; 2] = [13389, 13443];

/// How to lead the client to the proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Through {
    /// Where the proxy listens; `None` for its default on this machine.
    pub address: Option<SocketAddr>,
    /// The name to keep in the profile, which a line in the hosts file leads to the proxy.
    pub name: Option<String>,
}

/// What the profile became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retargeted {
    /// The profile to write.
    pub profile: Profile,
    /// What was changed in it.
    pub changes: Vec<Change>,
    /// Where the proxy has to listen.
    pub address: SocketAddr,
    /// The machine that the profile named.
    pub target: Address,
    /// The gateway on the way to it.
    pub gateway: Option<Address>,
    /// The command to start before the profile is opened.
    pub command: String,
    /// The line for the hosts file.
    pub hosts: Option<String>,
    /// What is different from the way without the proxy.
    pub notes: Vec<String>,
}

/// One line that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number in the file that was read, from 1; in the new one where it is added.
    pub line: usize,
    /// Its text before, where it was there; a signature cut short.
    pub before: Option<String>,
    /// Its text now, where it is there.
    pub after: Option<String>,
}

/// Why a profile cannot lead through the proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetargetError {
    /// Nothing to connect to.
    #[error("it names no machine; add the line full address:s:HOST, and see `rdpscope rdp lint`")]
    NoTarget,
    /// A value that names no machine.
    #[error("{key} {shown} {fault}; write it right first, and see `rdpscope rdp lint`")]
    BadAddress {
        /// The setting.
        key: &'static str,
        /// Its value, in quotes.
        shown: String,
        /// What is wrong with it.
        fault: AddressFault,
    },
    /// Done already.
    #[error("it leads to {0} already; name the original profile, or another place with --through")]
    Already(SocketAddr),
    /// A name that the file cannot hold.
    #[error("the name {0} has letters that the file's encoding has not; save the profile as UTF-16 LE first")]
    NotInEncoding(String),
}

/// Leads `profile` through the proxy. Every other line stays as it is, byte by byte.
pub fn retarget(profile: &Profile, through: &Through) -> Result<Retargeted, RetargetError> {
    let target = target(profile)?;
    let gateway = gateway(profile)?;
    let port = LISTENS[usize::from(gateway.is_some())];
    let address = through.address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let host = through.name.clone().unwrap_or_else(|| address.ip().to_string());
    let proxy = Address { host, port: Some(address.port()) };
    if gateway.as_ref().unwrap_or(&target) == &proxy {
        return Err(RetargetError::Already(address));
    }
    if profile.encoding() == Encoding::Latin && proxy.host.chars().any(|letter| u32::from(letter) > 0xff) {
        return Err(RetargetError::NotInEncoding(proxy.host));
    }
    let mut editor = Editor { profile: profile.clone(), changes: Vec::new() };
    match gateway {
        Some(_) => editor.through_gateway(&proxy),
        None => editor.directly(&proxy, address.port()),
    }
    let signed = editor.unsign();
    let way = Way { profile, address, target, gateway, through, signed };
    Ok(Retargeted {
        profile: editor.profile,
        changes: editor.changes,
        address,
        command: way.command(),
        hosts: through.name.as_ref().map(|name| format!("{} {name}", address.ip())),
        notes: way.notes(),
        target: way.target,
        gateway: way.gateway,
    })
}

/// The machine, with its port where the profile names one.
fn target(profile: &Profile) -> Result<Address, RetargetError> {
    let mut target = address(profile, "full address")?.ok_or(RetargetError::NoTarget)?;
    let port = profile.number("server port").and_then(|port| u16::try_from(port).ok());
    target.port = target.port.or(port.filter(|port| *port != 0));
    Ok(target)
}

/// The gateway, where one may be used: also where that is left to the client or to its administrator.
fn gateway(profile: &Profile) -> Result<Option<Address>, RetargetError> {
    match profile.number("gatewayusagemethod") {
        Some(1..=3) => address(profile, "gatewayhostname"),
        _ => Ok(None),
    }
}

fn address(profile: &Profile, key: &'static str) -> Result<Option<Address>, RetargetError> {
    let Some(value) = profile.value(key).filter(|value| !value.is_empty()) else { return Ok(None) };
    let parsed = Address::parse(value);
    parsed.map(Some).map_err(|fault| RetargetError::BadAddress { key, shown: quoted(value), fault })
}

/// A profile that is being changed.
struct Editor {
    profile: Profile,
    changes: Vec<Change>,
}

impl Editor {
    fn directly(&mut self, proxy: &Address, port: u16) {
        self.set("full address", &proxy.to_string());
        // Both would lead the client past the proxy.
        self.set("alternate full address", &proxy.to_string());
        self.set("server port", &port.to_string());
    }

    fn through_gateway(&mut self, proxy: &Address) {
        self.set("gatewayhostname", &proxy.to_string());
        for key in ["gatewayusagemethod", "gatewayprofileusagemethod"] {
            self.set(key, "1");
            if self.profile.last(key).is_none() {
                let text = format!("{key}:i:1");
                self.profile.append(&text);
                let line = self.profile.lines().len();
                self.changes.push(Change { line, before: None, after: Some(text) });
            }
        }
    }

    /// Gives every setting called `key` this value, where it has another.
    fn set(&mut self, key: &str, value: &str) {
        let lines = self.profile.settings().filter(|(_, setting)| setting.is(key));
        let lines: Vec<usize> =
            lines.filter(|(_, setting)| setting.value.trim() != value).map(|(index, _)| index).collect();
        for index in lines {
            let before = self.profile.lines()[index].text.clone();
            self.profile.replace_value(index, value);
            let after = self.profile.lines()[index].text.clone();
            self.changes.push(Change { line: index + 1, before: Some(before), after: Some(after) });
        }
    }

    /// Takes the signature away; whether there was one.
    fn unsign(&mut self) -> bool {
        let lines = self.profile.settings();
        let lines = lines.filter(|(_, setting)| keys::SIGNATURES.iter().any(|name| setting.is(name)));
        let lines: Vec<usize> = lines.map(|(index, _)| index).collect();
        for index in &lines {
            let before = shortened(&self.profile.lines()[*index].text);
            self.changes.push(Change { line: index + 1, before: Some(before), after: None });
        }
        self.profile.remove(&lines);
        self.changes.sort_by_key(|change| change.line);
        !lines.is_empty()
    }
}

/// Characters of a line that is taken out which are shown.
const LONGEST_SHOWN: usize = 60;

fn shortened(text: &str) -> String {
    let short: String = text.chars().take(LONGEST_SHOWN).collect();
    if short.len() < text.len() { short + "..." } else { short }
}

/// The way to the target as it was and as it is now.
struct Way<'a> {
    profile: &'a Profile,
    address: SocketAddr,
    target: Address,
    gateway: Option<Address>,
    through: &'a Through,
    signed: bool,
}

impl Way<'_> {
    /// What to start before the profile is opened.
    fn command(&self) -> String {
        let mut command = format!("rdpscope proxy {}", self.target);
        let port = LISTENS[usize::from(self.gateway.is_some())];
        if let Some(gateway) = &self.gateway {
            command += &format!(" --gateway {gateway}");
        }
        if self.address != SocketAddr::from((Ipv4Addr::LOCALHOST, port)) {
            command += &format!(" --listen {}", self.address);
        }
        if !self.address.ip().is_loopback() {
            command += " --allow-remote";
        }
        if self.through.name.is_some() {
            command += " --address ADDRESS";
        }
        if self.gateway.is_some() {
            command += " --ca-out ca.pem";
        }
        command
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.signed {
            notes.push(
                "the signature is taken out, as it does not hold for another address: the client says that the publisher \
                 is unknown; where a policy forbids profiles that are not signed, sign the new one, or type the address"
                    .to_owned(),
            );
        }
        match (&self.through.name, &self.gateway) {
            (Some(name), _) => notes.extend(self.with_name(name)),
            (None, Some(gateway)) => notes.push(self.gateway_by_address(gateway)),
            (None, None) => notes.extend(self.by_address()),
        }
        if self.gateway.is_some() {
            notes.push(
                "rdpscope opens TLS with the gateway: let the client trust its CA first, with the command that \
                 `rdpscope cert trust ca.pem` prints"
                    .to_owned(),
            );
        }
        notes.extend(self.of_profile());
        notes
    }

    /// What an address in the place of the server's name changes.
    fn by_address(&self) -> Vec<String> {
        let (ip, host) = (self.address.ip(), &self.target.host);
        let mut notes = vec![
            format!(
                "the client compares the server's certificate with {ip} and not with {host}: expect a warning that is \
                 of this way's making, or a refusal with authentication level:i:1"
            ),
            format!(
                "Kerberos knows no service TERMSRV/{ip}: NLA uses NTLM, and fails where that is forbidden or the user \
                 is in Protected Users"
            ),
            format!(
                "credentials that are saved for TERMSRV/{host} are not found: type them; cmdkey \
                 /generic:TERMSRV/{ip} /user:NAME /pass keeps some for this way"
            ),
        ];
        if self.profile.number("enablerdsaadauth") == Some(1) {
            notes.push(format!(
                "sign-in with Microsoft Entra ID needs the name {host}, and does not work this way"
            ));
        }
        if !self.target.is_ip() {
            notes.push(format!("--name {host} keeps the name, and with it all of that as it is"));
        }
        notes
    }

    fn gateway_by_address(&self, gateway: &Address) -> String {
        format!(
            "the client logs on to the gateway as {} and not as {}: Kerberos with the gateway becomes NTLM, and saved \
             credentials for it are not found; --name {} keeps the name",
            self.address.ip(),
            gateway.host,
            gateway.host
        )
    }

    fn with_name(&self, name: &str) -> Vec<String> {
        vec![
            format!(
                "certificate, Kerberos and saved credentials are looked up by {name}, as without the proxy; take the \
                 line out of the hosts file afterwards, or nothing on this machine reaches {name}"
            ),
            format!(
                "with that line rdpscope would find itself under {name}: write for ADDRESS what nslookup {name} says, \
                 which does not look into the hosts file"
            ),
        ]
    }

    /// Where the profile names two targets; the command has the one of full address.
    fn ambiguities(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let alternate = address(self.profile, "alternate full address").ok().flatten();
        if let Some(alternate) = alternate.filter(|alternate| !alternate.is_same_host(&self.target)) {
            notes.push(format!(
                "the profile names two machines, and FreeRDP goes to the second: start the proxy with {alternate} where \
                 that is meant"
            ));
        }
        let port = self.profile.number("server port");
        if let Some(port) = port.filter(|port| self.target.port.is_some_and(|own| i64::from(own) != *port)) {
            notes.push(format!(
                "the profile names two ports, and FreeRDP takes server port: start the proxy with {port} where that is \
                 meant"
            ));
        }
        notes
    }

    /// What the profile's own settings make of the way.
    fn of_profile(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let given = |key: &str| self.profile.value(key).is_some_and(|value| !value.is_empty());
        notes.extend(self.ambiguities());
        if given("loadbalanceinfo") {
            notes.push(
                "loadbalanceinfo stays: the broker may send the client on to another machine, past the proxy, and the \
                 verdict is then redirected-away"
                    .to_owned(),
            );
        }
        if self.profile.number("authentication level") == Some(0) {
            notes.push(
                "authentication level:i:0 stays: the client takes any certificate, so that no experiment with \
                 certificates tells anything"
                    .to_owned(),
            );
        }
        if given("wvd endpoint pool") || given("armpath") {
            notes.push(
                "the profile is of Azure Virtual Desktop: its gateways are chosen by the service, and this one may be \
                 left for another, past the proxy"
                    .to_owned(),
            );
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn retargeted(text: &str, through: &Through) -> Retargeted {
        retarget(&Profile::read(text.as_bytes()), through).unwrap()
    }

    fn text(retargeted: &Retargeted) -> String {
        String::from_utf8(retargeted.profile.bytes()).unwrap()
    }

    #[test]
    fn a_direct_way_changes_the_addresses_alone() {
        let done = retargeted(
            "audiomode:i:0\r\nFull Address:s:srv10\r\nalternate full address:s:srv10\nserver port:i:3390\r\nx:s:y",
            &Through::default(),
        );
        assert_eq!(
            text(&done),
            "audiomode:i:0\r\nFull Address:s:127.0.0.1:13389\r\nalternate full address:s:127.0.0.1:13389\nserver \
             port:i:13389\r\nx:s:y"
        );
        assert_eq!(done.command, "rdpscope proxy srv10:3390");
        assert_eq!(done.changes.len(), 3);
        assert!(done.notes.iter().any(|note| note.contains("TERMSRV/srv10")), "{:?}", done.notes);
    }

    #[test]
    fn a_gateway_is_replaced_and_the_machine_behind_it_stays() {
        let done = retargeted(
            "full address:s:srv10.corp.example\r\ngatewayhostname:s:gw.corp.example\r\ngatewayusagemethod:i:2\r\n",
            &Through::default(),
        );
        assert_eq!(
            text(&done),
            "full address:s:srv10.corp.example\r\ngatewayhostname:s:127.0.0.1:13443\r\ngatewayusagemethod:i:1\r\n\
             gatewayprofileusagemethod:i:1\r\n"
        );
        assert_eq!(
            done.command,
            "rdpscope proxy srv10.corp.example --gateway gw.corp.example --ca-out ca.pem"
        );
    }

    #[test]
    fn a_gateway_that_is_never_used_is_left_alone() {
        let profile = "full address:s:srv10\r\ngatewayhostname:s:gw\r\ngatewayusagemethod:i:4\r\n";
        let done = retargeted(profile, &Through::default());
        assert_eq!(text(&done), profile.replace("s:srv10", "s:127.0.0.1:13389"));
    }

    #[test]
    fn a_name_is_kept_with_a_line_for_the_hosts_file() {
        let address = "127.0.0.2:13389".parse().unwrap();
        let through = Through { address: Some(address), name: Some("srv10.corp.example".to_owned()) };
        let done = retargeted("full address:s:srv10.corp.example\r\n", &through);
        assert_eq!(text(&done), "full address:s:srv10.corp.example:13389\r\n");
        assert_eq!(done.hosts.as_deref(), Some("127.0.0.2 srv10.corp.example"));
        assert_eq!(
            done.command,
            "rdpscope proxy srv10.corp.example --listen 127.0.0.2:13389 --address ADDRESS"
        );
    }

    #[test]
    fn a_signature_goes_and_is_told() {
        let signature = "x".repeat(100);
        let done = retargeted(
            &format!(
                "full address:s:srv10\r\nsignscope:s:Full Address\r\nSignature:s:{signature}\r\na:i:1\r\n"
            ),
            &Through::default(),
        );
        assert_eq!(text(&done), "full address:s:127.0.0.1:13389\r\na:i:1\r\n");
        let lines: Vec<usize> = done.changes.iter().map(|change| change.line).collect();
        assert_eq!(lines, [1, 2, 3]);
        assert!(done.changes[2].before.as_deref().is_some_and(|before| before.ends_with("...")));
        assert!(done.notes[0].contains("signature"));
    }

    #[test]
    fn two_targets_are_told() {
        let done = retargeted(
            "full address:s:srv10:3389\r\nalternate full address:s:srv11\r\nserver port:i:3390\r\n",
            &Through::default(),
        );
        assert_eq!(done.command, "rdpscope proxy srv10:3389");
        for told in ["two machines", "srv11", "two ports", "3390"] {
            assert!(done.notes.iter().any(|note| note.contains(told)), "{told}: {:?}", done.notes);
        }
    }

    #[test]
    fn what_names_nothing_or_is_done_already_is_refused() {
        let refused = |text: &str| {
            retarget(&Profile::read(text.as_bytes()), &Through::default()).unwrap_err().to_string()
        };
        assert!(refused("audiomode:i:0\r\n").contains("names no machine"));
        assert!(refused("full address:s:srv 10\r\n").contains("has the character ' '"));
        assert!(refused("full address:s:127.0.0.1:13389\r\n").contains("already"));
    }

    proptest! {
        #[test]
        fn every_other_line_stays_byte_by_byte(
            before in proptest::collection::vec(any::<u8>(), 0..80),
            after in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let own = b"\nfull address:s:srv10\n";
            let profile = Profile::read(&[&before[..], own, &after].concat());
            if let Ok(done) = retarget(&profile, &Through::default()) {
                let changed: Vec<usize> = done.changes.iter().map(|change| change.line - 1).collect();
                let kept = |profile: &Profile| profile.lines().to_vec();
                let removed = done.changes.iter().filter(|change| change.after.is_none()).count();
                prop_assert_eq!(kept(&done.profile).len() + removed, kept(&profile).len());
                if removed == 0 {
                    for (index, line) in kept(&profile).iter().enumerate() {
                        prop_assert!(changed.contains(&index) || *line == done.profile.lines()[index]);
                    }
                }
            }
        }
    }
}
