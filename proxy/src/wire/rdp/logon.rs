//! Save Session Info PDU (MS-RDPBCGR 2.2.10.1): that the user is logged on, or why not, without any cookie.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::named::Code;
use crate::wire::{Malformed, Reader};

const INFOTYPE_LOGON_EXTENDED_INFO: u32 = 3;
const LOGON_EX_AUTORECONNECTCOOKIE: u32 = 1;
const LOGON_EX_LOGONERRORS: u32 = 2;

const INFO_TYPES: &[(u32, &str)] = &[
    (0, "INFOTYPE_LOGON"),
    (1, "INFOTYPE_LOGON_LONG"),
    (2, "INFOTYPE_LOGON_PLAINNOTIFY"),
    (INFOTYPE_LOGON_EXTENDED_INFO, "INFOTYPE_LOGON_EXTENDED_INFO"),
];

const NOTIFICATION_TYPES: &[(u32, &str)] = &[
    (0xFFFF_FFF8, "LOGON_MSG_SESSION_BUSY_OPTIONS"),
    (0xFFFF_FFF9, "LOGON_MSG_DISCONNECT_REFUSED"),
    (0xFFFF_FFFA, "LOGON_MSG_NO_PERMISSION"),
    (0xFFFF_FFFB, "LOGON_MSG_BUMP_OPTIONS"),
    (0xFFFF_FFFC, "LOGON_MSG_RECONNECT_OPTIONS"),
    (0xFFFF_FFFD, "LOGON_MSG_SESSION_TERMINATE"),
    (0xFFFF_FFFE, "LOGON_MSG_SESSION_CONTINUE"),
];

const NOTIFICATION_DATA: &[(u32, &str)] = &[
    (0, "LOGON_FAILED_BAD_PASSWORD"),
    (1, "LOGON_FAILED_UPDATE_PASSWORD"),
    (2, "LOGON_FAILED_OTHER"),
    (3, "LOGON_WARNING"),
];

/// Save Session Info PDU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SaveSessionInfo {
    /// `infoType`.
    pub info_type: Code,
    /// An auto-reconnect cookie was handed out.
    pub auto_reconnect_cookie: bool,
    /// The logon notification, when there is one.
    pub logon_error: Option<LogonError>,
}

/// `TS_LOGON_ERRORS_INFO`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogonError {
    /// `ErrorNotificationType`.
    pub notification_type: Code,
    /// `ErrorNotificationData`; without a name it is a session id.
    pub notification_data: Code,
}

/// Decodes the body of a Save Session Info PDU.
pub fn save_session_info(body: &[u8]) -> Result<SaveSessionInfo, Malformed> {
    let mut reader = Reader::new("TS_SAVE_SESSION_INFO_PDU_DATA", body);
    let info_type = reader.u32_le()?;
    let mut info = SaveSessionInfo {
        info_type: Code::new(info_type, INFO_TYPES),
        auto_reconnect_cookie: false,
        logon_error: None,
    };
    if info_type == INFOTYPE_LOGON_EXTENDED_INFO {
        info.read_extended(reader.rest())?;
    }
    Ok(info)
}

impl SaveSessionInfo {
    fn read_extended(&mut self, body: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new("TS_LOGON_INFO_EXTENDED", body);
        reader.take(2)?;
        let fields = reader.u32_le()?;
        if fields & LOGON_EX_AUTORECONNECTCOOKIE != 0 {
            field(&mut reader)?;
            self.auto_reconnect_cookie = true;
        }
        if fields & LOGON_EX_LOGONERRORS != 0 {
            let mut errors = Reader::new("TS_LOGON_ERRORS_INFO", field(&mut reader)?);
            self.logon_error = Some(LogonError {
                notification_type: Code::new(errors.u32_le()?, NOTIFICATION_TYPES),
                notification_data: Code::new(errors.u32_le()?, NOTIFICATION_DATA),
            });
        }
        Ok(())
    }
}

/// `TS_LOGON_INFO_FIELD`: a length and that many bytes.
fn field<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let length = reader.u32_le()?;
    let length = usize::try_from(length).map_err(|_| reader.malformed("field longer than any PDU"))?;
    reader.take(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logon_errors_are_named_and_the_cookie_is_only_noticed() {
        let mut body = vec![3, 0, 0, 0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0];
        body.extend(b"hunter2-canary-cookie-------");
        body.extend([8, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
        let info = save_session_info(&body).unwrap();
        assert!(info.auto_reconnect_cookie);
        assert!(!serde_json::to_string(&info).unwrap().contains("canary"));
        let error = info.logon_error.unwrap();
        assert_eq!(error.notification_type.name.as_deref(), Some("LOGON_MSG_SESSION_CONTINUE"));
        assert_eq!(error.notification_data.name.as_deref(), Some("LOGON_FAILED_BAD_PASSWORD"));
        body[10] = 0xFF;
        assert_eq!(save_session_info(&body).unwrap_err().structure, "TS_LOGON_INFO_EXTENDED");
    }

    #[test]
    fn plain_notifications_have_no_more_than_a_type() {
        let info = save_session_info(&[2, 0, 0, 0, 9, 9, 9]).unwrap();
        assert_eq!(info.info_type.name.as_deref(), Some("INFOTYPE_LOGON_PLAINNOTIFY"));
        assert_eq!((info.auto_reconnect_cookie, info.logon_error), (false, None));
        assert!(save_session_info(&[2, 0]).is_err());
    }
}
