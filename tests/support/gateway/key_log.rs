//! Secrets of TLS, written where Wireshark finds them.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// A file of them.
#[derive(Debug)]
pub(super) struct KeyLogFile(Mutex<File>);

impl KeyLogFile {
    pub(super) fn create(path: &Path) -> KeyLogFile {
        KeyLogFile(Mutex::new(File::create(path).expect("the file is made")))
    }
}

impl rustls::KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex::encode(client_random), hex::encode(secret));
        let mut file = self.0.lock().expect("nobody panics with the file");
        file.write_all(line.as_bytes()).expect("a line is written");
    }
}
