//! KDC-PROXY-MESSAGE (MS-KKDCP 2.2.2): Kerberos by way of HTTPS. The message in it is not read.

use super::der;
use crate::wire::named::byte_text;

/// target-domain: the realm that is asked for. `None` where it is not there or `message` is something else.
pub fn target_domain(message: &[u8]) -> Option<String> {
    let fields = der::only(message, der::SEQUENCE)?;
    let realm = der::only(der::find(fields, der::context(1))?, der::GENERAL_STRING)?;
    Some(byte_text(realm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_realm_is_read_and_the_kerberos_message_is_not() {
        let message = hex::decode(
            "3012a0050403000001a1091b0743\
                                   4f4e544f534f"
                .replace([' ', '\n'], ""),
        )
        .unwrap();
        assert_eq!(target_domain(&message).as_deref(), Some("CONTOSO"));
        assert_eq!([target_domain(&message[..8]), target_domain(b"<html>")], [None, None]);
    }
}
