//! The settings that clients know: type, values, meaning.
//!
//! What Microsoft documents as supported RDP properties, what mstsc itself writes, what feeds of RemoteApp and of Azure
//! Virtual Desktop bring, and what is signed.

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `i`: a decimal number.
    Integer,
    /// `s`: text.
    Text,
    /// `b`: bytes in hexadecimal.
    Binary,
}

impl Kind {
    /// The letter in the file.
    pub fn letter(self) -> &'static str {
        match self {
            Kind::Integer => "i",
            Kind::Text => "s",
            Kind::Binary => "b",
        }
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Whatever its type allows.
    Any,
    /// From the first number to the second.
    Range(i64, i64),
    /// One of these, with what each means.
    Named(&'static [(i64, &'static str)]),
}

/// A setting that clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name in lower case.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// What its value may be.
    pub values: Values,
    /// What it is for, in a few words.
    pub meaning: &'static str,
}

/// Whether the value of the setting called `name` is a secret, acts as one, or may hold one: it is never shown, and left
/// out of bundles. Old clients and hand-made files have other settings for passwords.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.contains(&name.as_str()) || name.starts_with("password")
}

const SECRETS: [&str; 7] = [
    "password 51",
    "gatewayaccesstoken",
    "loadbalanceinfo",
    "remoteapplicationcmdline",
    "alternate shell",
    "rdgiskdcproxy token",
    "kdcproxytoken",
];

/// The signature and the list of what is signed: they no longer hold once anything is changed.
pub const SIGNATURES: [&str; 2] = ["signature", "signscope"];

/// Settings that name machines.
pub const HOSTS: [&str; 6] =
    ["full address", "alternate full address", "gatewayhostname", "kdcproxyname", "workspace id", "pcb"];

/// The setting called `name`, in any case.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name))
}

/// The known setting that `name` looks like a slip of; `None` where there is none, or more than one as near.
pub fn nearest(name: &str) -> Option<&'static Key> {
    let name = name.to_lowercase().replace('\u{a0}', " ");
    let most = (name.chars().count() / 4).clamp(1, MOST_SLIPS);
    let mut near: Vec<(usize, &Key)> = KEYS.iter().map(|key| (distance(&name, key.name), key)).collect();
    near.retain(|(distance, _)| *distance <= most);
    near.sort_by_key(|(distance, _)| *distance);
    match near[..] {
        [(one, key)] => (one <= most).then_some(key),
        [(one, key), (two, _), ..] if one < two => Some(key),
        _ => None,
    }
}

/// Letters that a slip may change, add, leave out or swap.
const MOST_SLIPS: usize = 3;
/// Letters of the longest name that is compared; the work grows with the square.
const LONGEST_NAME: usize = 64;

/// How many letters have to be changed, added, left out or swapped with their neighbour to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len() > LONGEST_NAME {
        return usize::MAX;
    }
    let mut before = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, wanted) in other.iter().enumerate() {
            let mut least = (row[j] + usize::from(letter != wanted)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && one[i - 1] == *wanted && *letter == other[j - 1] {
                least = least.min(row_value(&before, j - 1) + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

fn row_value(row: &[usize], at: usize) -> usize {
    row.get(at).copied().unwrap_or_default()
}

const fn integer(name: &'static str, values: Values, meaning: &'static str) -> Key {
    Key { name, kind: Kind::Integer, values, meaning }
}

const fn number(name: &'static str, meaning: &'static str) -> Key {
    integer(name, Values::Any, meaning)
}

const fn switch(name: &'static str, meaning: &'static str) -> Key {
    integer(name, Values::Named(&[(0, "no"), (1, "yes")]), meaning)
}

const fn text(name: &'static str, meaning: &'static str) -> Key {
    Key { name, kind: Kind::Text, values: Values::Any, meaning }
}

/// Every setting that is known, by subject.
pub const KEYS: &[Key] = &[
    // Where to.
    text("full address", "the machine to connect to"),
    text("alternate full address", "another name or address of that machine"),
    integer("server port", Values::Range(1, 65535), "its port, where the address names none"),
    text("pcb", "what a Hyper-V host or a broker is told first"),
    text("loadbalanceinfo", "what the broker is told, so that it knows where to send the session"),
    switch(
        "use redirection server name",
        "check the name that the broker sends instead of the one in the profile",
    ),
    switch("disableconnectionsharing", "open a new session instead of an existing one"),
    switch("administrative session", "the session for administration"),
    switch("connect to console", "the session at the console"),
    text("workspace id", "the feed that the profile belongs to"),
    switch("enableworkspacereconnect", "reconnect to the feed after logon"),
    // Who.
    text("username", "the user"),
    text("domain", "the user's domain"),
    Key {
        name: "password 51",
        kind: Kind::Binary,
        values: Values::Any,
        meaning: "the password, protected for one user of one machine",
    },
    switch("prompt for credentials", "ask although credentials are saved"),
    switch("prompt for credentials on client", "ask on the client"),
    switch("promptcredentialonce", "the same credentials for the gateway and for the machine behind it"),
    switch("enablerdsaadauth", "sign in with Microsoft Entra ID"),
    switch("targetisaadjoined", "the older form of enablerdsaadauth"),
    switch("public mode", "save nothing on this machine"),
    text("kdcproxyname", "the proxy through which Kerberos reaches a domain controller"),
    text("kdcproxyurl", "the same as a URL, for MsRdpEx"),
    switch("restrictedlogon", "Restricted Admin mode, for MsRdpEx"),
    // How the machine is checked.
    integer(
        "authentication level",
        Values::Named(&[
            (0, "connect without a warning"),
            (1, "refuse"),
            (2, "warn"),
            (3, "nothing is required"),
        ]),
        "what to do where the server cannot be verified",
    ),
    switch("negotiate security layer", "agree with the server on how the connection is secured"),
    switch("enablecredsspsupport", "offer network level authentication"),
    text("userspecifiedservername", "the name to check the server by, for MsRdpEx"),
    switch("require pre-authentication", "log on to a web page first"),
    text("pre-authentication server address", "the web page to log on to first"),
    text("signature", "the signature"),
    text("signscope", "which settings are signed"),
    // Through a gateway.
    text("gatewayhostname", "the RD Gateway"),
    integer(
        "gatewayusagemethod",
        Values::Named(&[
            (0, "never"),
            (1, "always"),
            (2, "where a direct connection fails"),
            (3, "as the administrator has set it"),
            (4, "never, and local addresses are bypassed"),
        ]),
        "when the gateway is used",
    ),
    integer(
        "gatewayprofileusagemethod",
        Values::Named(&[(0, "the administrator's settings"), (1, "those of the profile")]),
        "whose settings of the gateway hold",
    ),
    integer(
        "gatewaycredentialssource",
        Values::Named(&[
            (0, "a password"),
            (1, "a smart card"),
            (2, "those of the user who is logged on"),
            (3, "a password, with basic authentication"),
            (4, "asked later"),
            (5, "a cookie"),
        ]),
        "which credentials the gateway gets",
    ),
    text("gatewayaccesstoken", "the cookie for the gateway"),
    number("gatewaybrokeringtype", "who chooses the gateway"),
    switch("rdgiskdcproxy", "let the gateway be the proxy for Kerberos"),
    // How the connection behaves.
    switch("autoreconnection enabled", "reconnect after a drop"),
    number("autoreconnect max retries", "how often"),
    integer("connection type", Values::Range(1, 7), "the speed of the line: 1 modem to 6 LAN, 7 found out"),
    switch("networkautodetect", "find out how fast the line is"),
    switch("bandwidthautodetect", "find out how fast the line is while it is in use"),
    switch("compression", "compress"),
    switch("disableudptransport", "no UDP, for MsRdpEx"),
    switch("videoplaybackmode", "let the client decode video"),
    switch("enablesuperpan", "pan a desktop that is larger than the screen"),
    number("superpanaccelerationfactor", "how fast"),
    // The desktop.
    integer("screen mode id", Values::Named(&[(1, "a window"), (2, "the full screen")]), "how it is shown"),
    switch("use multimon", "all displays"),
    switch("span monitors", "one desktop across several displays"),
    text("selectedmonitors", "which displays"),
    switch("maximizetocurrentdisplays", "maximize to the displays that the window covers"),
    switch("singlemoninwindowedmode", "one display in a window"),
    switch("maximizeshell", "maximize the shell"),
    integer("desktopwidth", Values::Range(200, 8192), "pixels"),
    integer("desktopheight", Values::Range(200, 8192), "pixels"),
    integer(
        "desktop size id",
        Values::Named(&[(0, "640x480"), (1, "800x600"), (2, "1024x768"), (3, "1280x1024"), (4, "1600x1200")]),
        "the size of the desktop",
    ),
    integer("desktopscalefactor", Values::Range(100, 500), "percent"),
    integer(
        "session bpp",
        Values::Named(&[(8, "256 colours"), (15, "15 bit"), (16, "16 bit"), (24, "24 bit"), (32, "32 bit")]),
        "the depth of colour",
    ),
    switch("dynamic resolution", "follow the size of the window"),
    switch("smart sizing", "scale to the size of the window"),
    text("winposstr", "where the window stands"),
    switch("displayconnectionbar", "show the bar"),
    switch("pinconnectionbar", "pin the bar"),
    switch("disable wallpaper", "no wallpaper"),
    switch("allow font smoothing", "smooth fonts"),
    switch("allow desktop composition", "desktop composition"),
    switch("disable full window drag", "no content while a window is dragged"),
    switch("disable menu anims", "no animation of menus"),
    switch("disable themes", "no themes"),
    switch("disable cursor setting", "no settings of the cursor"),
    switch("bitmapcachepersistenable", "keep bitmaps on the disk"),
    number("bitmapcachesize", "kilobytes of bitmaps in memory"),
    // Devices.
    integer(
        "audiomode",
        Values::Named(&[(0, "played here"), (1, "played there"), (2, "not played")]),
        "where sound is played",
    ),
    switch("audiocapturemode", "record sound here"),
    integer("audioqualitymode", Values::Range(0, 2), "the quality of sound: 0 found out, 1 middle, 2 high"),
    switch("encode redirected video capture", "encode the camera's video"),
    integer("redirected video capture encoding quality", Values::Range(0, 2), "0 low to 2 high"),
    integer(
        "keyboardhook",
        Values::Named(&[(0, "here"), (1, "there"), (2, "there in full screen"), (3, "in the RemoteApp")]),
        "where key combinations of Windows act",
    ),
    switch("redirectclipboard", "share the clipboard"),
    switch("redirectprinters", "share printers"),
    switch("redirectcomports", "share serial ports"),
    switch("redirectsmartcards", "share smart cards"),
    switch("redirectdrives", "share drives"),
    switch("redirectposdevices", "share devices of points of sale"),
    switch("redirectdirectx", "draw with DirectX on the client"),
    switch("redirectlocation", "share where this machine is"),
    switch("redirectwebauthn", "share security keys"),
    text("drivestoredirect", "which drives are shared"),
    text("devicestoredirect", "which devices are shared"),
    text("camerastoredirect", "which cameras are shared"),
    text("usbdevicestoredirect", "which USB devices are shared"),
    switch("clientrejectinjectedinput", "take no input from programs"),
    // Programs.
    switch("remoteapplicationmode", "a program instead of a desktop"),
    text("remoteapplicationprogram", "the program"),
    text("remoteapplicationname", "its name"),
    text("remoteapplicationcmdline", "its arguments"),
    switch("remoteapplicationexpandcmdline", "where variables in them are filled in"),
    switch("remoteapplicationexpandworkingdir", "where variables in its folder are filled in"),
    text("remoteapplicationfile", "the file that it opens"),
    text("remoteapplicationfileextensions", "the files that belong to it"),
    text("remoteapplicationicon", "its icon"),
    text("remoteapplicationguid", "its id"),
    switch("remoteappmousemoveinject", "pass on movements of the mouse that programs make"),
    switch("disableremoteappcapscheck", "start it although the server does not say that it can"),
    text("alternate shell", "the program that is started in place of the desktop"),
    text("shell working directory", "its folder"),
    // What feeds bring.
    text("remotedesktopname", "the name that the feed gives it"),
    text("support url", "where users find help"),
    text("eventloguploadaddress", "where the client's log goes"),
    text("diagnosticserviceurl", "where diagnostics go"),
    text("hubdiscoverygeourl", "where the service is found"),
    text("resourceprovider", "the service's kind"),
    text("armpath", "the pool in Azure"),
    text("aadtenantid", "the tenant in Entra ID"),
    text("wvd endpoint pool", "the pool's id"),
    text("geo", "the service's region"),
    text("activityhint", "what finds the session in the service's log"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_in_lower_case() {
        let mut names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
        assert!(names.iter().all(|name| *name == name.to_lowercase()));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_slip_is_recognised() {
        for (slip, meant) in [
            ("fulladdress", "full address"),
            ("full adress", "full address"),
            ("Full\u{a0}Address", "full address"),
            ("gatewayhostnmae", "gatewayhostname"),
            ("authenticationlevel", "authentication level"),
            ("enablecredssp support", "enablecredsspsupport"),
            ("redirectclipbord", "redirectclipboard"),
        ] {
            assert_eq!(nearest(slip).map(|key| key.name), Some(meant), "{slip}");
        }
        for other in ["", "x", "colordepthid", "savepassword", &"a".repeat(10_000)] {
            assert_eq!(nearest(other), None, "{other}");
        }
    }

    #[test]
    fn a_swap_is_one_slip() {
        assert_eq!(distance("abcd", "abdc"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
