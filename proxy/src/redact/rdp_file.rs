//! Profiles of the client (.rdp): secrets cut out, names replaced, every other line as it was.

use super::names::{Kind, Names};
use super::{Redactor, learn};
use crate::rdpfile::Profile;
use crate::rdpfile::keys::{HOSTS, SIGNATURES, is_secret};

impl Names {
    /// Learns the names in a profile.
    pub fn learn_rdp_file(&mut self, bytes: &[u8]) {
        for (_, setting) in Profile::read(bytes).settings() {
            match setting.key.to_ascii_lowercase().as_str() {
                "username" => learn::user(self, setting.value),
                "domain" => learn::named(self, Kind::Domain, setting.value),
                key if HOSTS.contains(&key) => learn::target(self, setting.value),
                _ => {}
            }
        }
    }
}

impl Redactor {
    /// The profile without secrets and names, in its own encoding.
    pub fn rdp_file(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut profile = Profile::read(bytes);
        for index in 0..profile.lines().len() {
            let redacted = self.rdp_line(&profile, index);
            profile.replace_text(index, &redacted);
        }
        profile.bytes()
    }

    fn rdp_line(&mut self, profile: &Profile, index: usize) -> String {
        let line = &profile.lines()[index];
        let Some(setting) = line.setting() else { return self.text(&line.text) };
        let before = &line.text[..line.text.len() - setting.value.len()];
        let key = setting.key.to_ascii_lowercase();
        // A value of type b is bytes in hex: passwords, and what nobody here can read.
        let is_binary = setting.kind.eq_ignore_ascii_case("b");
        if is_secret(&key) || SIGNATURES.contains(&key.as_str()) || is_binary {
            return format!("{before}(left out)");
        }
        match key == "username" || key == "domain" || HOSTS.contains(&key.as_str()) {
            true => format!("{before}{}", self.name(setting.value)),
            false => format!("{before}{}", self.text(setting.value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Keep, PseudonymKey};
    use super::*;

    const PROFILE: &str = "full address:s:srv10.contoso.com:3389\r\nusername:s:CONTOSO\\walther\r\npassword 51:b:01AB02\r\n\
        audiomode:i:0\r\ngatewayhostname:s:gw.contoso.com\r\ngatewayaccesstoken:s:canary-token\r\nsignature:s:canarysig\r\n\
        desktopwidth:i:1280\r\npassword:s:canary-in-clear\r\n";

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
