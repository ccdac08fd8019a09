//! errorInfo of the Set Error Info PDU (MS-RDPBCGR 2.2.5.1.1): PDUs that break the protocol.

use super::entry::{AB_MSS, Entry, INSIDE, PROBE, RDP_LINT, entries};

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

/// Codes from 0x10C9 on.
pub(super) const TABLE: &[Entry] = entries! {
    0x10C9 "ERRINFO_UNKNOWNPDUTYPE2" "a share data PDU of an unknown type came" STREAM [INSIDE, AB_MSS];
    0x10CA "ERRINFO_UNKNOWNPDUTYPE" "a share control PDU of an unknown type came" STREAM [INSIDE, AB_MSS];
    0x10CB "ERRINFO_DATAPDUSEQUENCE" "a data PDU came out of its order" ORDER [INSIDE];
    0x10CD "ERRINFO_CONTROLPDUSEQUENCE" "a control PDU came out of its order" ORDER [INSIDE];
    0x10CE "ERRINFO_INVALIDCONTROLPDUACTION" "a Control PDU has an unknown action" ORDER [INSIDE];
    0x10CF "ERRINFO_INVALIDINPUTPDUTYPE" "an input event has an unknown type" STREAM [INSIDE, AB_MSS];
    0x10D0 "ERRINFO_INVALIDINPUTPDUMOUSE" "a mouse event is not valid" STREAM [INSIDE, AB_MSS];
    0x10D1 "ERRINFO_INVALIDREFRESHRECTPDU" "a Refresh Rect PDU is not valid" STREAM [INSIDE, AB_MSS];
    0x10D2 "ERRINFO_CREATEUSERDATAFAILED" "the server could not make its GCC settings" SERVER [INSIDE];
    0x10D3 "ERRINFO_CONNECTFAILED" "the server failed while the channels were connected" SERVER [INSIDE];
    0x10D4 "ERRINFO_CONFIRMACTIVEWRONGSHAREID" "a Confirm Active PDU names another share"
        CAPABILITIES [INSIDE];
    0x10D5 "ERRINFO_CONFIRMACTIVEWRONGORIGINATOR" "a Confirm Active PDU names another originator"
        CAPABILITIES [INSIDE];
    0x10DA "ERRINFO_PERSISTENTKEYPDUBADLENGTH" "the list of cached bitmaps has a wrong length" CACHE [INSIDE];
    0x10DB "ERRINFO_PERSISTENTKEYPDUILLEGALFIRST" "the list of cached bitmaps starts twice" CACHE [INSIDE];
    0x10DC "ERRINFO_PERSISTENTKEYPDUTOOMANYTOTALKEYS" "the list of cached bitmaps is too long in all"
        CACHE [INSIDE];
    0x10DD "ERRINFO_PERSISTENTKEYPDUTOOMANYCACHEKEYS" "the list of cached bitmaps is too long for one cache"
        CACHE [INSIDE];
    0x10DE "ERRINFO_INPUTPDUBADLENGTH" "an input PDU has a wrong length" STREAM [INSIDE, AB_MSS];
    0x10DF "ERRINFO_BITMAPCACHEERRORPDUBADLENGTH" "a Bitmap Cache Error PDU has a wrong length"
        CACHE [INSIDE];
    0x10E0 "ERRINFO_SECURITYDATATOOSHORT" "a security header is cut" STREAM [INSIDE, AB_MSS];
    0x10E1 "ERRINFO_VCHANNELDATATOOSHORT" "virtual channel data is cut" STREAM [INSIDE, AB_MSS];
    0x10E2 "ERRINFO_SHAREDATATOOSHORT" "a share data header is cut" STREAM [INSIDE, AB_MSS];
    0x10E3 "ERRINFO_BADSUPRESSOUTPUTPDU" "a Suppress Output PDU is not valid" STREAM [INSIDE, AB_MSS];
    0x10E5 "ERRINFO_CONFIRMACTIVEPDUTOOSHORT" "a Confirm Active PDU is cut" CAPABILITIES [INSIDE];
    0x10E7 "ERRINFO_CAPABILITYSETTOOSMALL" "a capability set is too small" CAPABILITIES [INSIDE];
    0x10E8 "ERRINFO_CAPABILITYSETTOOLARGE" "a capability set is too large" CAPABILITIES [INSIDE];
    0x10E9 "ERRINFO_NOCURSORCACHE" "the client announced no pointer cache" CAPABILITIES [INSIDE];
    0x10EA "ERRINFO_BADCAPABILITIES" "the server refuses the client's capabilities" CAPABILITIES [INSIDE];
    0x10EC "ERRINFO_VIRTUALCHANNELDECOMPRESSIONERR" "virtual channel data could not be decompressed"
        CHANNELS [INSIDE];
    0x10ED "ERRINFO_INVALIDVCCOMPRESSIONTYPE" "virtual channel data has an unknown compression"
        CHANNELS [INSIDE];
    0x10EF "ERRINFO_INVALIDCHANNELID" "a virtual channel that does not exist was named" CHANNELS [INSIDE];
    0x10F0 "ERRINFO_VCHANNELSTOOMANY" "the client asked for more than 31 virtual channels" CHANNELS [INSIDE];
    0x10F3 "ERRINFO_REMOTEAPPSNOTENABLED" "the server allows RemoteApp only, or does not allow it"
        REMOTEAPP [RDP_LINT];
    0x10F4 "ERRINFO_CACHECAPNOTSET" "a list of cached bitmaps came without the capability for it"
        CACHE [INSIDE];
    0x10F5 "ERRINFO_BITMAPCACHEERRORPDUBADLENGTH2" "a Bitmap Cache Error PDU has a wrong length inside"
        CACHE [INSIDE];
    0x10F6 "ERRINFO_OFFSCRCACHEERRORPDUBADLENGTH" "an Offscreen Bitmap Cache Error PDU has a wrong length"
        CACHE [INSIDE];
    0x10F7 "ERRINFO_DNGCACHEERRORPDUBADLENGTH" "a DrawNineGrid Cache Error PDU has a wrong length"
        CACHE [INSIDE];
    0x10F8 "ERRINFO_GDIPLUSPDUBADLENGTH" "a GDI+ Error PDU has a wrong length" CACHE [INSIDE];
    0x1111 "ERRINFO_SECURITYDATATOOSHORT2" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1112 "ERRINFO_SECURITYDATATOOSHORT3" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1113 "ERRINFO_SECURITYDATATOOSHORT4" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1114 "ERRINFO_SECURITYDATATOOSHORT5" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1115 "ERRINFO_SECURITYDATATOOSHORT6" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1116 "ERRINFO_SECURITYDATATOOSHORT7" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1117 "ERRINFO_SECURITYDATATOOSHORT8" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1118 "ERRINFO_SECURITYDATATOOSHORT9" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1119 "ERRINFO_SECURITYDATATOOSHORT10" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x111A "ERRINFO_SECURITYDATATOOSHORT11" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x111B "ERRINFO_SECURITYDATATOOSHORT12" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x111C "ERRINFO_SECURITYDATATOOSHORT13" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x111D "ERRINFO_SECURITYDATATOOSHORT14" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x111E "ERRINFO_SECURITYDATATOOSHORT15" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x111F "ERRINFO_SECURITYDATATOOSHORT16" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1120 "ERRINFO_SECURITYDATATOOSHORT17" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1121 "ERRINFO_SECURITYDATATOOSHORT18" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1122 "ERRINFO_SECURITYDATATOOSHORT19" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1123 "ERRINFO_SECURITYDATATOOSHORT20" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1124 "ERRINFO_SECURITYDATATOOSHORT21" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1125 "ERRINFO_SECURITYDATATOOSHORT22" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1126 "ERRINFO_SECURITYDATATOOSHORT23" "a security header or a field of Client Info is cut"
        STREAM [INSIDE, AB_MSS];
    0x1129 "ERRINFO_BADMONITORDATA" "the monitor count does not fit the monitor data"
        MONITORS [RDP_LINT, INSIDE];
    0x112A "ERRINFO_VCDECOMPRESSEDREASSEMBLEFAILED" "virtual channel data could not be put together"
        CHANNELS [INSIDE];
    0x112B "ERRINFO_VCDATATOOLONG" "virtual channel data is too long" CHANNELS [INSIDE];
    0x112C "ERRINFO_BAD_FRAME_ACK_DATA" "a frame acknowledgement is not valid" GRAPHICS [INSIDE];
    0x112D "ERRINFO_GRAPHICSMODENOTSUPPORTED" "the server cannot offer a graphics mode that the client knows"
        GRAPHICS [INSIDE];
    0x112E "ERRINFO_GRAPHICSSUBSYSTEMRESETFAILED" "the server's graphics could not be reset"
        GRAPHICS [INSIDE];
    0x112F "ERRINFO_GRAPHICSSUBSYSTEMFAILED" "the server's graphics failed" GRAPHICS [INSIDE];
    0x1130 "ERRINFO_TIMEZONEKEYNAMELENGTHTOOSHORT" "the time zone's name is cut" STREAM [INSIDE, AB_MSS];
    0x1131 "ERRINFO_TIMEZONEKEYNAMELENGTHTOOLONG" "the time zone's name is too long" STREAM [INSIDE, AB_MSS];
    0x1132 "ERRINFO_DYNAMICDSTDISABLEDFIELDMISSING" "the field for dynamic daylight saving time is missing"
        STREAM [INSIDE, AB_MSS];
    0x1133 "ERRINFO_VCDECODINGERROR" "dynamic channel data could not be read" CHANNELS [INSIDE];
    0x1134 "ERRINFO_VIRTUALDESKTOPTOOLARGE" "the desktop over all monitors is larger than 32766 pixels"
        MONITORS [RDP_LINT, INSIDE];
    0x1135 "ERRINFO_MONITORGEOMETRYVALIDATIONFAILED" "the monitors' places do not fit together"
        MONITORS [RDP_LINT, INSIDE];
    0x1136 "ERRINFO_INVALIDMONITORCOUNT" "there are too many monitors" MONITORS [RDP_LINT, INSIDE];
    0x1191 "ERRINFO_UPDATESESSIONKEYFAILED" "the session key could not be renewed" ENCRYPTION [PROBE, INSIDE];
    0x1192 "ERRINFO_DECRYPTFAILED" "a PDU could not be decrypted" ENCRYPTION [PROBE, INSIDE];
    0x1193 "ERRINFO_ENCRYPTFAILED" "a PDU could not be encrypted" ENCRYPTION [PROBE, INSIDE];
    0x1194 "ERRINFO_ENCPKGMISMATCH" "the encryption methods of the two ends do not fit"
        ENCRYPTION [PROBE, INSIDE];
    0x1195 "ERRINFO_DECRYPTFAILED2" "a PDU could not be decrypted (FIPS)" ENCRYPTION [PROBE, INSIDE];
};
