//! errorInfo of the Set Error Info PDU (MS-RDPBCGR 2.2.5.1.1): what causes it and what to do.

use super::advice::{Advice, Known, advice, join};
use super::entry::{AB_MSS, Entry, INSIDE, PROBE, PROXY, RDP_LINT};
use crate::wire::rdp::error_info::{ERROR_INFO, ErrorInfo};
use std::sync::LazyLock;

const INTENDED: &[&str] = &["somebody asked for it; this is no error"];
const LIMIT: &[&str] = &["a time limit set on the server or in the user's account"];
const SESSION_CRASH: &[&str] = &[
    "a display driver or GPU of the server",
    "a broken update or injected program in the session; see the server's Application log",
];
const LICENCE_SERVER: &[&str] = &[
    "no licence server is named or reachable and the grace period is over",
    "no licence of the right kind is left",
];
const LICENCE_STORE: &[&str] =
    &["the client's licence store (MSLicensing) is damaged", "the client's hardware or name was changed"];
const BROKER: &[&str] =
    &["the broker or the collection behind it", "the target machine is off, full or draining"];
const WAKE: &[&str] = &["the virtual machine does not start or wake up in time; see its host"];
const STREAM: &[&str] = &["a fault of the client", "a box on the way that changes, cuts or adds bytes"];
const ORDER: &[&str] = &["a fault of the client", "a box on the way that loses or repeats bytes"];
const SERVER: &[&str] =
    &["the server failed in itself", "settings of the client that the server cannot follow"];
const CACHE: &[&str] = &["the client's bitmap cache on disk is damaged: clear it", "a fault of the client"];
const CAPABILITIES: &[&str] =
    &["a client that is much older or newer than the server", "a fault of the client"];
const CHANNELS: &[&str] = &[
    "a virtual channel plug-in of the client, or its counterpart on the server",
    "a redirected device (printer, clipboard, audio)",
];
const REMOTEAPP: &[&str] = &["a desktop was asked of a server that publishes programs only, or the reverse"];
const GRAPHICS: &[&str] = &["the server's GPU or display driver", "a graphics policy of the server"];
const MONITORS: &[&str] = &["the client's monitors: turn `use multimon` off to try", "a fault of the client"];
const ENCRYPTION: &[&str] = &["the RDP security layer: use TLS", "bytes were changed on the way"];

/// Every code.
pub(super) static TABLE: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let known = |&ErrorInfo { code, name, meaning }| Known { code, name, meaning, note: None };
    join(ERROR_INFO.iter().map(known), ADVICE)
});

/// Session, licensing and broker codes, then, from 0x10C9 on, PDUs that break the protocol.
pub(super) const ADVICE: &[Advice] = &[
    advice(&[0x1, 0x2, 0xB, 0xC, 0x19, 0x1A], INTENDED, &[INSIDE]),
    advice(&[0x3, 0x4], LIMIT, &[INSIDE]),
    advice(
        &[0x5],
        &["the same user connected from elsewhere", "a client that reconnects by itself"],
        &[INSIDE],
    ),
    advice(&[0x6], &["the server's memory is exhausted"], &[INSIDE]),
    advice(
        &[0x7],
        &[
            "drain mode (`change logon /query` on the server)",
            "a connection policy of the server",
            "a limit on the number of sessions",
        ],
        &[INSIDE],
    ),
    advice(
        &[0x9],
        &[
            "the user is not in Remote Desktop Users",
            "the right to log on through Remote Desktop is denied by policy",
        ],
        &[INSIDE],
    ),
    advice(&[0xA], &["a policy of the server asks for the password each time"], &[INSIDE, RDP_LINT]),
    advice(&[0xF, 0x10, 0x11, 0x12, 0x17, 0x18], SESSION_CRASH, &[INSIDE]),
    advice(&[0x100, 0x101, 0x102, 0x109, 0x10A], LICENCE_SERVER, &[INSIDE]),
    advice(&[0x103, 0x104, 0x105, 0x107, 0x108], LICENCE_STORE, &[INSIDE]),
    advice(&[0x106], &["the connection broke during licensing"], &[INSIDE]),
    advice(&[0x400, 0x402, 0x408, 0x409], BROKER, &[INSIDE]),
    advice(&[0x404], BROKER, &[PROBE, INSIDE]),
    advice(&[0x405, 0x406, 0x411, 0x412], WAKE, &[INSIDE]),
    advice(&[0x407], &["DNS of the broker lacks the machine"], &[PROBE]),
    advice(
        &[0x410],
        &["`loadbalanceinfo` in the profile is stale or cut", "a load balancer lost the token"],
        &[RDP_LINT, PROXY],
    ),
    advice(
        &[
            0x10C9, 0x10CA, 0x10CF, 0x10D0, 0x10D1, 0x10DE, 0x10E0, 0x10E1, 0x10E2, 0x10E3, 0x1130, 0x1131,
            0x1132,
        ],
        STREAM,
        &[INSIDE, AB_MSS],
    ),
    // A field of the security header or of Client Info was cut short.
    advice(
        &[
            0x1111, 0x1112, 0x1113, 0x1114, 0x1115, 0x1116, 0x1117, 0x1118, 0x1119, 0x111A, 0x111B, 0x111C,
            0x111D, 0x111E, 0x111F, 0x1120, 0x1121, 0x1122, 0x1123, 0x1124, 0x1125, 0x1126,
        ],
        STREAM,
        &[INSIDE, AB_MSS],
    ),
    advice(&[0x10CB, 0x10CD, 0x10CE], ORDER, &[INSIDE]),
    advice(&[0x10D2, 0x10D3], SERVER, &[INSIDE]),
    advice(&[0x10D4, 0x10D5, 0x10E5, 0x10E7, 0x10E8, 0x10E9, 0x10EA], CAPABILITIES, &[INSIDE]),
    advice(
        &[0x10DA, 0x10DB, 0x10DC, 0x10DD, 0x10DF, 0x10F4, 0x10F5, 0x10F6, 0x10F7, 0x10F8],
        CACHE,
        &[INSIDE],
    ),
    advice(&[0x10EC, 0x10ED, 0x10EF, 0x10F0, 0x112A, 0x112B, 0x1133], CHANNELS, &[INSIDE]),
    advice(&[0x10F3], REMOTEAPP, &[RDP_LINT]),
    advice(&[0x1129, 0x1134, 0x1135, 0x1136], MONITORS, &[RDP_LINT, INSIDE]),
    advice(&[0x112C, 0x112D, 0x112E, 0x112F], GRAPHICS, &[INSIDE]),
    advice(&[0x1191, 0x1192, 0x1193, 0x1194, 0x1195], ENCRYPTION, &[PROBE, INSIDE]),
    advice(&[0x1196], &["the FreeRDP server's peer ended the connection"], &[PROXY]),
];
