//! A profile with nothing in it that need not be there.

use super::address::Address;
use super::encoding::Encoding;

/// What the profile is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minimal {
    /// The machine; where it is reached through a gateway, as the gateway knows it.
    pub target: Address,
    /// The RD Gateway on the way.
    pub gateway: Option<Address>,
    /// The user, as `NAME`, `DOMAIN\NAME` or `NAME@DOMAIN`; never a password.
    pub user: Option<String>,
}

impl Minimal {
    /// What is written: ASCII, which is the same in UTF-8 and in every code page and is read by mstsc, FreeRDP and text
    /// tools alike; UTF-16 with its mark, as mstsc writes it, where a name needs more. Lines end with CR LF.
    pub fn bytes(&self) -> Vec<u8> {
        let text = self.text();
        match text.is_ascii() {
            true => text.into_bytes(),
            false => {
                let encoding = Encoding::Utf16Little { mark: true };
                [encoding.mark(), &encoding.encode(&text)].concat()
            }
        }
    }

    /// The same as text.
    pub fn text(&self) -> String {
        // Without the second line a client need not care whose certificate it is shown, and no fault of one would show.
        let mut text = format!("full address:s:{}\r\nauthentication level:i:2\r\n", self.target);
        if let Some(gateway) = &self.gateway {
            text += &format!(
                "gatewayhostname:s:{gateway}\r\ngatewayusagemethod:i:1\r\ngatewayprofileusagemethod:i:1\r\n"
            );
        }
        if let Some(user) = &self.user {
            text += &format!("username:s:{user}\r\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::super::lint::{Severity, lint};
    use super::*;

    fn minimal(user: Option<&str>) -> Minimal {
        Minimal {
            target: Address::parse("srv10:3390").unwrap(),
            gateway: Some(Address::parse("gw.corp.example").unwrap()),
            user: user.map(str::to_owned),
        }
    }

    #[test]
    fn there_is_nothing_wrong_with_it_in_either_encoding() {
        for user in [None, Some(r"CORP\me"), Some("jürgen@corp.example")] {
            let profile = Profile::read(&minimal(user).bytes());
            let found = lint(&profile);
            assert!(found.iter().all(|finding| finding.severity == Severity::Note), "{found:?}");
            assert_eq!(profile.value("username"), user);
            assert_eq!(profile.value("full address"), Some("srv10:3390"));
        }
    }

    #[test]
    fn it_is_ascii_where_it_can_be() {
        assert!(minimal(Some("me")).bytes().is_ascii());
        assert!(minimal(Some("jürgen")).bytes().starts_with(b"\xff\xfe"));
    }
}
