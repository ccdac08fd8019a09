//! Causes between the client and the server's first byte of RDP.

use super::{Cause, trial, wrong};
use crate::trace::VerdictId;

const ON_THE_SERVER: &str = "rdpscope probe 127.0.0.1:3389";

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        id: VerdictId::DnsFailure,
        title: "The server's name does not resolve to an address",
        user_sees: "mstsc: the computer cannot be found; error code 0x104.",
        wire: "no packet at all: the system's resolver answers with an error.",
        proof: Some("the resolver's own error"),
        trial: None,
        beliefs: &[wrong(
            "Remote Desktop is switched off on the server",
            "nobody has asked the server yet: the name led nowhere",
        )],
    },
    Cause {
        id: VerdictId::DnsMismatch,
        title: "The name leads to another machine, or only some of its addresses answer",
        user_sees: "it fails now and then, or only for some; or mstsc warns of a certificate with another name.",
        wire: "several addresses with different fates; or the names in the NTLM challenge and in the certificate are \
               another machine's.",
        proof: None,
        trial: trial(
            "rdpscope ab TARGET --vary address",
            "one address fails every time and another passes every time",
            "all addresses come out the same",
        ),
        beliefs: &[wrong(
            "the certificate is wrong",
            "the certificate may be right, and the machine that shows it the wrong one",
        )],
    },
    Cause {
        id: VerdictId::TcpRefused,
        title: "The server's port refuses TCP connections",
        user_sees: "mstsc: the computer cannot be reached, at once; error code 0x204.",
        wire: "RST in answer to the SYN, from every address of the name.",
        proof: Some("the refusal of every connection attempt"),
        trial: trial(
            ON_THE_SERVER,
            "run on the server itself it is refused as well: nothing listens on the port",
            "on the server itself it works: not the service refuses but a firewall",
        ),
        beliefs: &[wrong(
            "the network is down",
            "something answered the SYN with a refusal: packets do come through",
        )],
    },
    Cause {
        id: VerdictId::TcpFiltered,
        title: "Nothing answers the TCP connection: a firewall drops it, or there is no such host",
        user_sees: "mstsc: the computer cannot be reached, after many seconds; error code 0x204.",
        wire: "SYNs that are sent again and again, and no answer, not even a refusal.",
        proof: None,
        trial: trial(
            "pktmon start --capture --pkt-size 0 --file-name rdp.etl",
            "on the server's network card no SYN arrives: something on the way drops it, or the route is missing",
            "SYNs arrive there and stay unanswered: not the way drops them but the host's own firewall",
        ),
        beliefs: &[wrong(
            "the service has crashed",
            "a host without the service refuses at once; silence comes from a firewall or an address that nobody has",
        )],
    },
    Cause {
        id: VerdictId::TcpReset,
        title: "The TCP connection is cut before a byte of RDP",
        user_sees: "mstsc: error code 0x904, extended 0x7; or 0x204.",
        wire: "the connection is accepted, and then reset or closed from the server's side before it has sent anything.",
        proof: Some("a reset in the place of the server's first byte"),
        trial: trial(
            ON_THE_SERVER,
            "run on the server itself it is cut as well: it is the service or what listens in its place",
            "on the server itself it works: not the service cuts it but a firewall or load balancer",
        ),
        beliefs: &[wrong(
            "it is the certificate",
            "no certificate was shown yet: nothing was said at all before the cut",
        )],
    },
    Cause {
        id: VerdictId::NotRdp,
        title: "Something that is not RDP answers on the port",
        user_sees: "mstsc: error code 0x904, extended 0x7, at once.",
        wire: "the first bytes from the server are another protocol's: `SSH-2.0`, `HTTP/1.1 400`, a TLS alert.",
        proof: Some("the first bytes of what answers"),
        trial: None,
        beliefs: &[wrong(
            "0x7 means that the server denied the connection by policy",
            "there is no RDP server there that could have a policy",
        )],
    },
    Cause {
        id: VerdictId::RdpSilent,
        title: "The server accepts TCP and never answers the RDP request",
        user_sees: "mstsc hangs at \"Initiating remote connection\", then gives up; error code 0x904 or 0x108.",
        wire: "an X.224 connection request, and seconds of silence.",
        proof: None,
        trial: trial(
            ON_THE_SERVER,
            "run on the server itself it stays silent as well: the service hangs, or has too many unfinished connections \
             (event 1006)",
            "on the server itself it answers: not the service is silent but a box on the way that accepts in its place",
        ),
        beliefs: &[wrong(
            "the port is open, so RDP works",
            "the system accepts TCP for a service that hangs: only an answer to the RDP request says that it works",
        )],
    },
];
