//! Client Info PDU (MS-RDPBCGR 2.2.1.11) without password, auto-reconnect cookie and programs to start.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::named::{Code, Flags, byte_text, utf16_text};
use crate::wire::{Malformed, Reader};

/// `INFO_UNICODE`: the strings are UTF-16.
const INFO_UNICODE: u32 = 0x10;
/// Bits of `flags` that hold the compression type instead of flags.
const COMPRESSION_TYPE_MASK: u32 = 0x1E00;
/// Bytes of `TS_TIME_ZONE_INFORMATION`, of which the first four are the bias.
const TIME_ZONE_LENGTH: usize = 172;

const FLAGS: &[(u32, &str)] = &[
    (0x1, "INFO_MOUSE"),
    (0x2, "INFO_DISABLECTRLALTDEL"),
    (0x8, "INFO_AUTOLOGON"),
    (INFO_UNICODE, "INFO_UNICODE"),
    (0x20, "INFO_MAXIMIZESHELL"),
    (0x40, "INFO_LOGONNOTIFY"),
    (0x80, "INFO_COMPRESSION"),
    (0x100, "INFO_ENABLEWINDOWSKEY"),
    (0x2000, "INFO_REMOTECONSOLEAUDIO"),
    (0x4000, "INFO_FORCE_ENCRYPTED_CS_PDU"),
    (0x8000, "INFO_RAIL"),
    (0x1_0000, "INFO_LOGONERRORS"),
    (0x2_0000, "INFO_MOUSE_HAS_WHEEL"),
    (0x4_0000, "INFO_PASSWORD_IS_SC_PIN"),
    (0x8_0000, "INFO_NOAUDIOPLAYBACK"),
    (0x10_0000, "INFO_USING_SAVED_CREDS"),
    (0x20_0000, "INFO_AUDIOCAPTURE"),
    (0x40_0000, "INFO_VIDEO_DISABLE"),
    (0x200_0000, "INFO_HIDEF_RAIL_SUPPORTED"),
];

const PERFORMANCE_FLAGS: &[(u32, &str)] = &[
    (0x1, "PERF_DISABLE_WALLPAPER"),
    (0x2, "PERF_DISABLE_FULLWINDOWDRAG"),
    (0x4, "PERF_DISABLE_MENUANIMATIONS"),
    (0x8, "PERF_DISABLE_THEMING"),
    (0x20, "PERF_DISABLE_CURSOR_SHADOW"),
    (0x40, "PERF_DISABLE_CURSORSETTINGS"),
    (0x80, "PERF_ENABLE_FONT_SMOOTHING"),
    (0x100, "PERF_ENABLE_DESKTOP_COMPOSITION"),
];

const ADDRESS_FAMILIES: &[(u32, &str)] = &[(0x02, "AF_INET"), (0x17, "AF_INET6")];

/// `TS_INFO_PACKET`; the extended part is `None` where the PDU ends before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientInfo {
    /// Flags; the compression type among them is in `compression_type`.
    pub flags: Flags,
    /// 0 MPPC 8K, 1 MPPC 64K, 2 RDP 6.0, 3 RDP 6.1.
    pub compression_type: u8,
    /// Code page, or with `INFO_UNICODE` the active input locale.
    pub code_page: u32,
    /// Domain of the user; `None` when the field is not one terminated text of the claimed length.
    pub domain: Option<String>,
    /// Name of the user, under the same condition.
    pub user_name: Option<String>,
    /// Bytes of the password.
    pub password_length: u16,
    /// Bytes of the program to start instead of the shell.
    pub alternate_shell_length: u16,
    /// Bytes of its working directory.
    pub working_directory_length: u16,
    /// The extended part, RDP 5.0 and later; `None` also when a string before it does not fit its length.
    pub extended: Option<ExtendedClientInfo>,
}

/// `TS_EXTENDED_INFO_PACKET`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExtendedClientInfo {
    /// `clientAddressFamily`.
    pub client_address_family: Code,
    /// The client's own address, as the client sees it.
    pub client_address: String,
    /// Bytes of `clientDir`, the folder of the client's program.
    pub client_directory_length: u16,
    /// Minutes that UTC is ahead of the client's local time.
    pub time_zone_bias: Option<i32>,
    /// `performanceFlags`.
    pub performance_flags: Option<Flags>,
    /// Bytes of the auto-reconnect cookie: 28 when the client reconnects, otherwise 0.
    pub auto_reconnect_cookie_length: Option<u16>,
}

/// Decodes the Client Info PDU behind its security header.
pub fn client_info(body: &[u8]) -> Result<ClientInfo, Malformed> {
    let mut reader = Reader::new("TS_INFO_PACKET", body);
    let code_page = reader.u32_le()?;
    let flags = reader.u32_le()?;
    let unicode = flags & INFO_UNICODE != 0;
    let (domain_length, user_name_length) = (reader.u16_le()?, reader.u16_le()?);
    let password_length = reader.u16_le()?;
    let (alternate_shell_length, working_directory_length) = (reader.u16_le()?, reader.u16_le()?);

    let (domain, domain_fits) = terminated(&mut reader, domain_length, unicode)?;
    let (user_name, user_name_fits) = terminated(&mut reader, user_name_length, unicode)?;
    let mut rest_fits = domain_fits && user_name_fits;
    for length in [password_length, alternate_shell_length, working_directory_length] {
        let (_unread, fits) = terminated(&mut reader, length, unicode)?;
        rest_fits &= fits;
    }
    Ok(ClientInfo {
        flags: Flags::new(flags, FLAGS),
        compression_type: ((flags & COMPRESSION_TYPE_MASK) >> 9) as u8,
        code_page,
        // A wrong length moves the password into the place of a field that is kept.
        domain: domain_fits.then(|| text(domain, unicode)),
        user_name: (domain_fits && user_name_fits).then(|| text(user_name, unicode)),
        password_length,
        alternate_shell_length,
        working_directory_length,
        extended: if rest_fits { extended(&mut reader, unicode) } else { None },
    })
}

fn text(bytes: &[u8], unicode: bool) -> String {
    if unicode { utf16_text(bytes) } else { byte_text(bytes) }
}

/// A string of `length` bytes and its NUL; false when a NUL is missing after it or stands inside it, so that
/// the bytes may belong to another field.
fn terminated<'a>(
    reader: &mut Reader<'a>,
    length: u16,
    unicode: bool,
) -> Result<(&'a [u8], bool), Malformed> {
    let bytes = reader.take(length.into())?;
    let terminator = reader.take(if unicode { 2 } else { 1 })?;
    let unit = terminator.len();
    let is_nul = |unit: &[u8]| unit.iter().all(|byte| *byte == 0);
    let fits = is_nul(terminator) && bytes.len() % unit == 0 && !bytes.chunks(unit).any(is_nul);
    Ok((bytes, fits))
}

/// Clients end this part early in many places; what was there before the end is kept.
fn extended(reader: &mut Reader<'_>, unicode: bool) -> Option<ExtendedClientInfo> {
    let family = reader.u16_le().ok()?;
    let address_length = reader.u16_le().ok()?;
    let address = reader.take(address_length.into()).ok()?;
    let mut extended = ExtendedClientInfo {
        client_address_family: Code::new(family.into(), ADDRESS_FAMILIES),
        client_address: text(address, unicode),
        ..ExtendedClientInfo::default()
    };
    let _ends_early = read_tail(&mut extended, reader);
    Some(extended)
}

fn read_tail(extended: &mut ExtendedClientInfo, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    extended.client_directory_length = reader.u16_le()?;
    reader.take(extended.client_directory_length.into())?;
    let bias = reader.u32_le()?;
    reader.take(TIME_ZONE_LENGTH - 4)?;
    extended.time_zone_bias = Some(bias.cast_signed());
    reader.take(4)?;
    extended.performance_flags = Some(Flags::new(reader.u32_le()?, PERFORMANCE_FLAGS));
    extended.auto_reconnect_cookie_length = Some(reader.u16_le()?);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// UTF-16LE bytes of `text`.
    pub(crate) fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    /// A Client Info body with the given texts and their true lengths.
    pub(crate) fn info_body(texts: [&str; 5]) -> Vec<u8> {
        let fields: Vec<_> = texts.iter().map(|text| utf16(text)).collect();
        let mut body = [0x0409_u32.to_le_bytes(), 0x0001_073B_u32.to_le_bytes()].concat();
        for field in &fields {
            body.extend((field.len() as u16).to_le_bytes());
        }
        for field in &fields {
            body.extend(field);
            body.extend([0, 0]);
        }
        let address = utf16("10.0.0.7\0");
        body.extend([2, 0, address.len() as u8, 0]);
        body.extend(address);
        body.extend([2, 0, 0, 0]);
        body.extend((-60_i32).to_le_bytes());
        body.extend([0; 168]);
        body.extend([0, 0, 0, 0, 0x81, 0, 0, 0, 28, 0]);
        body.extend(b"hunter2-canary-cookie-------");
        body
    }

    #[test]
    fn keeps_who_and_where_and_never_the_password() {
        let texts = ["CONTOSO", "anna", "hunter2-canary", "hunter2-canary.exe", "hunter2-canary-dir"];
        let info = client_info(&info_body(texts)).unwrap();
        assert_eq!((info.domain.as_deref(), info.user_name.as_deref()), (Some("CONTOSO"), Some("anna")));
        assert_eq!((info.password_length, info.compression_type), (28, 3));
        assert!(info.flags.names.contains(&"INFO_LOGONERRORS".to_owned()));
        let extended = info.extended.as_ref().unwrap();
        assert_eq!(extended.client_address, "10.0.0.7");
        assert_eq!(extended.client_address_family.name.as_deref(), Some("AF_INET"));
        assert_eq!((extended.time_zone_bias, extended.auto_reconnect_cookie_length), (Some(-60), Some(28)));
        assert_eq!(extended.performance_flags.as_ref().unwrap().names.len(), 2);
        let json = serde_json::to_string(&info).unwrap();
        assert!(!json.contains("canary") && !json.contains("hunter2"), "{json}");
    }

    #[test]
    fn a_wrong_length_does_not_push_the_password_into_another_field() {
        for unicode in [true, false] {
            for (field, lie) in (0..5).flat_map(|field| (0..=120_u8).map(move |lie| (field, lie))) {
                let mut body = info_body(["D", "u", "hunter2-canary", "hunter2-canary", "hunter2-canary"]);
                if !unicode {
                    body[4] &= !0x10;
                }
                let true_length = std::mem::replace(&mut body[8 + 2 * field], lie);
                if unicode && lie == true_length {
                    continue;
                }
                let json = client_info(&body).map(|info| serde_json::to_string(&info).unwrap());
                let json = json.unwrap_or_default();
                assert!(
                    !json.contains("unter") && !json.contains("canary"),
                    "field {field} is {lie}: {json}"
                );
            }
        }
    }

    #[test]
    fn ansi_clients_and_clients_without_an_extended_part() {
        let mut body = [[0; 8].as_slice(), &[1, 0, 2, 0, 1, 0, 0, 0, 0, 0], b"D\0me\0p\0\0\0"].concat();
        let info = client_info(&body).unwrap();
        assert_eq!((info.user_name.as_deref(), info.extended), (Some("me"), None));
        body.truncate(body.len() - 1);
        assert_eq!(client_info(&body).unwrap_err().structure, "TS_INFO_PACKET");
    }
}
