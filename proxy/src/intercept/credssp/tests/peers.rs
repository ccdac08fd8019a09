//! CredSSP as the `sspi` crate does it, at the other end.

use sspi::credssp::{
    ClientMode, ClientState, CredSspClient, CredSspMode, CredSspServer, CredentialsProxy, ServerMode,
    ServerState, TsRequest,
};
use sspi::ntlm::NtlmConfig;
use sspi::{AuthIdentity, Credentials, NegotiateConfig, Username};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// How a client wraps NTLM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spnego(bool);

pub(super) const NTLM: Spnego = Spnego(false);
pub(super) const SPNEGO: Spnego = Spnego(true);

/// What the crate's server puts into errorCode when the password is wrong: SEC_E_LOGON_DENIED in its own coding.
pub(super) const SERVER_SAYS: u32 = 0xC007_030C;

fn identity(username: &str, password: &str) -> AuthIdentity {
    AuthIdentity { username: Username::parse(username).unwrap(), password: password.to_owned().into() }
}

/// A client that logs on; the error is what it makes of the server's refusal.
pub(super) async fn sspi_client(
    mut stream: DuplexStream,
    key: &[u8],
    username: &str,
    password: &str,
    version: u32,
    Spnego(spnego): Spnego,
) -> Result<(), String> {
    let ntlm = NtlmConfig::new("LAPTOP".to_owned());
    let mode = if spnego {
        let packages = Some("ntlm,!kerberos,!pku2u".to_owned());
        ClientMode::Negotiate(NegotiateConfig::new(Box::new(ntlm), packages, "LAPTOP".to_owned()))
    } else {
        ClientMode::Ntlm(ntlm)
    };
    let mut client = CredSspClient::new_with_version(
        key.to_vec(),
        Credentials::AuthIdentity(identity(username, password)),
        CredSspMode::WithCredentials,
        version,
        mode,
        "TERMSRV/proxy.test".to_owned(),
    )
    .unwrap();
    let mut request = TsRequest::default();
    loop {
        let state = client.process(request).resolve_to_result();
        match state.map_err(|error| format!("{error} {:?}", error.nstatus))? {
            ClientState::ReplyNeeded(mut request) => {
                request.version = version;
                write(&mut stream, &request).await;
            }
            ClientState::FinalMessage(request) => {
                write(&mut stream, &request).await;
                return Ok(());
            }
        }
        request = read(&mut stream).await.map_err(|error| error.to_string())?;
        // The crate's client goes by the server's version alone.
        request.version = version;
    }
}

/// A server that knows one user.
pub(super) async fn sspi_server(
    mut stream: DuplexStream,
    key: &[u8],
    username: &str,
    password: &str,
    version: u32,
) -> Result<AuthIdentity, String> {
    let mode = ServerMode::Ntlm(NtlmConfig::default());
    let known = Known(identity(username, password));
    let mut server = CredSspServer::new_with_version(key.to_vec(), known, version, mode).unwrap();
    loop {
        let mut request = read(&mut stream).await.map_err(|error| error.to_string())?;
        // The crate's server goes by the client's version alone.
        request.version = version;
        let state = server.process(request).resolve_to_result();
        match state {
            Ok(ServerState::ReplyNeeded(reply)) => write(&mut stream, &reply).await,
            Ok(ServerState::Finished(identity)) => return Ok(identity),
            Err(refusal) => {
                if let Some(reply) = refusal.ts_request.filter(|_| ![2, 5].contains(&version)) {
                    write(&mut stream, &reply).await;
                }
                return Err(refusal.error.to_string());
            }
        }
    }
}

struct Known(AuthIdentity);

impl CredentialsProxy for Known {
    type AuthenticationData = AuthIdentity;

    fn auth_data_by_user(&mut self, username: &Username) -> io::Result<AuthIdentity> {
        assert_eq!(username, &self.0.username);
        Ok(self.0.clone())
    }

    fn auth_data(&mut self) -> io::Result<Vec<AuthIdentity>> {
        Ok(vec![self.0.clone()])
    }
}

async fn write(stream: &mut DuplexStream, request: &TsRequest) {
    let mut bytes = Vec::new();
    request.encode_ts_request(&mut bytes).unwrap();
    // A peer that has closed shows at the next read.
    let _ = stream.write_all(&bytes).await;
}

async fn read(stream: &mut DuplexStream) -> io::Result<TsRequest> {
    let mut bytes = Vec::new();
    loop {
        bytes.push(stream.read_u8().await?);
        if TsRequest::read_length(&bytes[..]).is_ok_and(|length| length == bytes.len()) {
            return TsRequest::from_buffer(&bytes);
        }
    }
}
