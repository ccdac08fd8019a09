//! What a peer that does not speak RDP speaks instead, told by its first bytes.

/// How many first bytes are enough to tell.
pub const TELLING_LENGTH: usize = 16;

const GREETINGS: &[(&[u8], &str)] = &[
    (b"HTTP/", "HTTP"),
    (b"GET ", "HTTP"),
    (b"POST ", "HTTP"),
    (b"HEAD ", "HTTP"),
    (b"PUT ", "HTTP"),
    (b"OPTIONS ", "HTTP"),
    (b"CONNECT ", "HTTP"),
    (b"PRI * HTTP/2", "HTTP/2"),
    (b"RDG_", "RD Gateway HTTP"),
    (b"RPC_IN_DATA", "RPC over HTTP"),
    (b"RPC_OUT_DATA", "RPC over HTTP"),
    (b"SSH-", "SSH"),
    (b"RFB ", "VNC"),
    (b"220 ", "SMTP or FTP"),
    (b"220-", "SMTP or FTP"),
    (b"* OK", "IMAP"),
    (b"+OK", "POP3"),
    (b"\xffSMB", "SMB"),
    (b"\x00\x00\x00\x00\xfeSMB", "SMB"),
    (b"\x05\x00", "SOCKS"),
];

/// The protocol that begins with `bytes`, if it is one of those that are found on ports meant for RDP.
pub fn recognise(bytes: &[u8]) -> Option<&'static str> {
    GREETINGS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_usual_owners_of_a_wrong_port() {
        assert_eq!(recognise(b"HTTP/1.1 400 Bad Request\r\n"), Some("HTTP"));
        assert_eq!(recognise(b"SSH-2.0-OpenSSH_9.2"), Some("SSH"));
        assert_eq!(recognise(&[3, 0, 0, 19]), None);
        assert!(GREETINGS.iter().all(|(start, _)| start.len() <= TELLING_LENGTH));
    }
}
