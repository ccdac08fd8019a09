//! tshark as the judge of captures that rdpscope writes.

use std::io::Write as _;
use std::process::Command;
use tempfile::{NamedTempFile, TempDir};

/// A capture that tshark reads, with settings that no user has changed.
pub(crate) struct Capture {
    file: NamedTempFile,
    home: TempDir,
}

impl Capture {
    /// These bytes.
    pub(crate) fn of(bytes: &[u8]) -> Capture {
        let mut file = NamedTempFile::new().expect("a temporary file is made");
        file.write_all(bytes).expect("it takes the capture");
        Capture { file, home: TempDir::new().expect("a temporary folder is made") }
    }

    /// What tshark prints with these arguments, without a word of complaint.
    pub(crate) fn tshark(&self, arguments: &[&str]) -> String {
        let ran = Command::new("tshark")
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path())
            .args(["-n", "-r"])
            .arg(self.file.path())
            .args(arguments)
            .output()
            .expect("tshark runs");
        let complaints = String::from_utf8_lossy(&ran.stderr);
        let complaints: Vec<&str> =
            complaints.lines().filter(|line| !line.starts_with("Running as user \"root\"")).collect();
        assert!(ran.status.success() && complaints.is_empty(), "{arguments:?}: {complaints:?}");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// One line of these fields, separated by tabs, for each packet that `filter` lets through.
    pub(crate) fn fields(&self, filter: &str, fields: &[&str]) -> Vec<String> {
        self.decoded(&[], filter, fields)
    }

    /// The same with further settings.
    pub(crate) fn decoded(&self, settings: &[&str], filter: &str, fields: &[&str]) -> Vec<String> {
        let fields = fields.iter().flat_map(|field| ["-e", field]);
        let arguments: Vec<&str> =
            settings.iter().copied().chain(["-Y", filter, "-T", "fields"]).chain(fields).collect();
        self.tshark(&arguments).lines().map(str::to_owned).collect()
    }

    /// What either end of a connection said, the one that began it first.
    pub(crate) fn stream(&self, number: usize) -> [Vec<u8>; 2] {
        self.follow("tcp", number)
    }

    /// The same of what is inside TLS, for which the capture has the secrets.
    pub(crate) fn tls_stream(&self, number: usize) -> [Vec<u8>; 2] {
        self.follow("tls", number)
    }

    fn follow(&self, protocol: &str, number: usize) -> [Vec<u8>; 2] {
        let follow = format!("follow,{protocol},raw,{number}");
        let mut said = [Vec::new(), Vec::new()];
        for line in self.tshark(&["-q", "-z", &follow]).lines() {
            let is_answer = line.starts_with('\t');
            if let Ok(bytes) = hex::decode(line.trim()) {
                said[usize::from(is_answer)].extend_from_slice(&bytes);
            }
        }
        said
    }

    /// Fails where tshark finds something wrong, checksums among it; `but` is what it may say.
    pub(crate) fn assert_sound(&self, but: &[&str]) {
        let checks = [
            "-o",
            "tcp.check_checksum:TRUE",
            "-o",
            "ip.check_checksum:TRUE",
            "-o",
            "udp.check_checksum:TRUE",
        ];
        // A port that the system chose may be another protocol's: of datagrams only what carries them is judged.
        let wrong = "((_ws.expert.severity >= \"Warning\" || _ws.malformed) && !udp) || udp.checksum.status == 0 || \
                     udp.length.bad || tcp.analysis.lost_segment || tcp.analysis.out_of_order || tcp.analysis.retransmission || tcp.analysis.ack_lost_segment";
        let found = self.decoded(&checks, wrong, &["frame.number", "_ws.expert.message", "_ws.col.Info"]);
        // A client that is ended may reset its connection; the file has that as it was.
        let may_be = |line: &&String| {
            line.contains("Connection reset (RST)") || but.iter().any(|it| line.contains(it))
        };
        let found: Vec<&String> = found.iter().filter(|line| !may_be(line)).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}
