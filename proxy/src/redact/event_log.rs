//! Extracts of a system's event log, XML.

use super::{Kind, Names, Redactor, learn};

/// The element with the machine's own name.
const COMPUTER: [&str; 2] = ["<Computer>", "</Computer>"];
/// How the identifiers of accounts of a domain or machine begin (MS-DTYP 2.4.2.3); the numbers behind it tell whose.
const ACCOUNT: &str = "S-1-5-21-";
/// What stands in place of those numbers.
const NUMBERS: &str = "(left out)";

impl Names {
    /// Learns the names in an extract.
    pub fn learn_event_log(&mut self, xml: &str) {
        let [begin, end] = COMPUTER;
        for (place, _) in xml.match_indices(begin) {
            let rest = &xml[place + begin.len()..];
            if let Some((computer, _)) = rest.split_once(end) {
                learn::named(self, Kind::Host, computer);
            }
        }
    }
}

impl Redactor {
    /// The extract without names and account numbers.
    pub fn event_log(&mut self, xml: &str) -> String {
        let mut pieces = xml.split(ACCOUNT);
        let mut without_accounts = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            without_accounts.push_str(ACCOUNT);
            without_accounts.push_str(NUMBERS);
            let is_of_number = |character: char| character.is_ascii_digit() || character == '-';
            without_accounts.push_str(piece.trim_start_matches(is_of_number));
        }
        self.text(&without_accounts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Keep, PseudonymKey};
    use super::*;

    #[test]
    fn machine_and_account_are_gone() {
        let xml = "<Event><Computer>PC7.contoso.com</Computer><Security UserID='S-1-5-21-111-222-333-1001'/>\
            <Data>pc7 disconnected, code 0x904</Data></Event>";
        let mut names = Names::new(PseudonymKey::new([1; 32]), Keep::new());
        names.learn_event_log(xml);
        let text = Redactor::new(names).event_log(xml);
        assert!(
            !text.to_lowercase().contains("pc7") && !text.contains("contoso") && !text.contains("222"),
            "{text}"
        );
        assert!(text.contains("code 0x904") && text.contains("S-1-5-21-(left out)'"), "{text}");
    }
}
