//! Profiles of the client (.rdp): secrets cut out, names replaced, every other line as it was.

use super::names::{Kind, Names};
use super::{Redactor, learn};

/// Settings that hold a secret or something that acts as one (a password blob, a token of the broker, a cookie).
const SECRETS: [&str; 7] = [
    "password 51",
    "gatewayaccesstoken",
    "loadbalanceinfo",
    "remoteapplicationcmdline",
    "alternate shell",
    "rdgiskdcproxy token",
    "kdcproxytoken",
];
/// Settings that no longer hold once anything is changed.
const SIGNATURES: [&str; 2] = ["signature", "signscope"];
/// Settings that name machines.
const HOSTS: [&str; 6] =
    ["full address", "alternate full address", "gatewayhostname", "kdcproxyname", "workspace id", "pcb"];

/// How the file's characters stand in bytes; what is no Unicode is read as Windows does with its Latin code page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8 { mark: bool },
    Utf16Little { mark: bool },
    Utf16Big,
    Latin,
}

impl Names {
    /// Learns the names in a profile.
    pub fn learn_rdp_file(&mut self, bytes: &[u8]) {
        for line in decode(bytes).1.lines() {
            let Some((key, value)) = setting(line) else { continue };
            match key.as_str() {
                "username" => learn::user(self, value),
                "domain" => learn::named(self, Kind::Domain, value),
                key if HOSTS.contains(&key) => learn::target(self, value),
                _ => {}
            }
        }
    }
}

impl Redactor {
    /// The profile without secrets and names, in its own encoding.
    pub fn rdp_file(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (encoding, text) = decode(bytes);
        let mut redacted = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let end = &line[line.trim_end_matches(['\r', '\n']).len()..];
            redacted.push_str(&self.rdp_line(&line[..line.len() - end.len()]));
            redacted.push_str(end);
        }
        encode(encoding, &redacted)
    }

    fn rdp_line(&mut self, line: &str) -> String {
        let Some((key, value)) = setting(line) else { return self.text(line) };
        let before = &line[..line.len() - value.len()];
        if SECRETS.contains(&key.as_str()) || SIGNATURES.contains(&key.as_str()) || is_binary(before) {
            return format!("{before}(left out)");
        }
        match key == "username" || key == "domain" || HOSTS.contains(&key.as_str()) {
            true => format!("{before}{}", self.name(value)),
            false => format!("{before}{}", self.text(value)),
        }
    }
}

/// Key, in lower case, and value of `key:type:value`.
fn setting(line: &str) -> Option<(String, &str)> {
    let (key, rest) = line.trim_start_matches('\u{feff}').split_once(':')?;
    let (_, value) = rest.split_once(':')?;
    Some((key.trim().to_ascii_lowercase(), value))
}

/// A value of type b is bytes in hex: passwords, and what nobody here can read.
fn is_binary(before: &str) -> bool {
    before.to_ascii_lowercase().ends_with(":b:")
}

fn decode(bytes: &[u8]) -> (Encoding, String) {
    let units = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> =
            bytes.chunks(2).map(|pair| unit([pair[0], pair.get(1).copied().unwrap_or(0)])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => (Encoding::Utf16Little { mark: true }, units(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => (Encoding::Utf16Big, units(rest, u16::from_be_bytes)),
        // Without a mark: every second byte of what is mostly ASCII is zero.
        [_, 0, _, 0, ..] => (Encoding::Utf16Little { mark: false }, units(bytes, u16::from_le_bytes)),
        [0xef, 0xbb, 0xbf, rest @ ..] => {
            (Encoding::Utf8 { mark: true }, String::from_utf8_lossy(rest).into_owned())
        }
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => (Encoding::Utf8 { mark: false }, text.to_owned()),
            Err(_) => (Encoding::Latin, bytes.iter().map(|byte| char::from(*byte)).collect()),
        },
    }
}

fn encode(encoding: Encoding, text: &str) -> Vec<u8> {
    let marked = |mark: bool, bytes: &[u8]| if mark { bytes.to_vec() } else { Vec::new() };
    match encoding {
        Encoding::Utf8 { mark } => [marked(mark, b"\xef\xbb\xbf"), text.as_bytes().to_vec()].concat(),
        Encoding::Utf16Little { mark } => {
            let mut bytes = marked(mark, b"\xff\xfe");
            bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
            bytes
        }
        Encoding::Utf16Big => {
            let mut bytes = b"\xfe\xff".to_vec();
            bytes.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            bytes
        }
        Encoding::Latin => {
            text.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Keep, PseudonymKey};
    use super::*;

    const PROFILE: &str = "full address:s:srv10.contoso.com:3389\r\nusername:s:CONTOSO\\walther\r\npassword 51:b:01AB02\r\n\
        audiomode:i:0\r\ngatewayhostname:s:gw.contoso.com\r\ngatewayaccesstoken:s:canary-token\r\nsignature:s:canarysig\r\n\
        desktopwidth:i:1280\r\n";

    fn redacted(bytes: &[u8]) -> Vec<u8> {
        let mut names = Names::new(PseudonymKey::new([1; 32]), Keep::new());
        names.learn_rdp_file(bytes);
        Redactor::new(names).rdp_file(bytes)
    }

    #[test]
    fn secrets_and_names_go_and_the_rest_stays() {
        let text = String::from_utf8(redacted(PROFILE.as_bytes())).unwrap();
        for gone in ["srv10", "contoso", "CONTOSO", "walther", "01AB02", "canary"] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        for there in
            ["password 51:b:(left out)\r\n", "audiomode:i:0\r\n", "desktopwidth:i:1280\r\n", ".com:3389\r\n"]
        {
            assert!(text.contains(there), "{there}: {text}");
        }
    }

    #[test]
    fn every_encoding_stays_what_it_was() {
        let wide = |unit: fn(u16) -> [u8; 2]| PROFILE.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        let with = |mark: &[u8], bytes: Vec<u8>| [mark.to_vec(), bytes].concat();
        let plain = String::from_utf8(redacted(PROFILE.as_bytes())).unwrap();
        for (bytes, mark, little) in [
            (with(b"\xff\xfe", wide(u16::to_le_bytes)), 2, true),
            (wide(u16::to_le_bytes), 0, true),
            (with(b"\xfe\xff", wide(u16::to_be_bytes)), 2, false),
        ] {
            let after = redacted(&bytes);
            assert_eq!(after[..mark], bytes[..mark]);
            let unit = |pair: &[u8]| {
                if little {
                    u16::from_le_bytes([pair[0], pair[1]])
                } else {
                    u16::from_be_bytes([pair[0], pair[1]])
                }
            };
            let units: Vec<u16> = after[mark..].chunks(2).map(unit).collect();
            assert_eq!(String::from_utf16(&units).unwrap(), plain);
        }
        let latin = b"remark:s:caf\xe9 at srv\r\n";
        assert_eq!(redacted(latin), latin);
    }
}
