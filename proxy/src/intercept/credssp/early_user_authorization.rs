//! Early User Authorization Result PDU (MS-RDPBCGR 2.2.10.2): four bytes after CredSSP under PROTOCOL_HYBRID_EX.

use super::CredsspTap;
use super::conversation::{failed, write};
use super::error::{CredsspError, Step};
use crate::trace::Side;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// AUTHZ_SUCCESS.
const SUCCESS: u32 = 0;

/// Whether the user may log on, as the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyUserAuthorization(
    /// authorizationResult: 0 success, 5 access denied.
    pub u32,
);

impl EarlyUserAuthorization {
    /// Whether the session goes on.
    pub fn is_success(self) -> bool {
        self.0 == SUCCESS
    }
}

/// Reads the server's result; the session goes on only if it is a success.
///
/// # Errors
/// The server closed the connection, or the connection failed.
pub async fn read_early_user_authorization<S: AsyncRead + Unpin>(
    stream: &mut S,
    tap: &mut impl CredsspTap,
) -> Result<EarlyUserAuthorization, CredsspError> {
    let mut bytes = [0; 4];
    let read = stream.read_exact(&mut bytes).await;
    read.map_err(|source| failed(Side::Server, Step::EarlyUserAuthorization, source))?;
    tap.message(false, &bytes);
    Ok(EarlyUserAuthorization(u32::from_le_bytes(bytes)))
}

/// Sends the client the server's `result`.
///
/// # Errors
/// The client closed the connection, or the connection failed.
pub async fn send_early_user_authorization<S: AsyncWrite + Unpin>(
    stream: &mut S,
    result: EarlyUserAuthorization,
    tap: &mut impl CredsspTap,
) -> Result<(), CredsspError> {
    let bytes = result.0.to_le_bytes();
    tap.message(true, &bytes);
    let written = write(stream, &bytes).await;
    written.map_err(|source| failed(Side::Client, Step::EarlyUserAuthorization, source))
}
