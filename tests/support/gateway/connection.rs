//! One TCP connection: TLS, requests one after another, and who serves them.

use super::authentication::{Authentication, Decision};
use super::http::{self, Head, Reader, Response, Writer};
use super::log::{Log, What};
use super::rpc::{self, Successor};
use super::setup::{GATEWAY_PATH, Http, InChannel, Logon, RPC_PATH, Tunnel, Upgrade};
use super::{two_connections, websocket};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Sender;
use tokio::sync::{Notify, oneshot};
use tokio_rustls::TlsAcceptor;

/// The methods of each path.
const METHODS: [(&str, [&str; 2]); 2] =
    [(GATEWAY_PATH, ["RDG_OUT_DATA", "RDG_IN_DATA"]), (RPC_PATH, ["RPC_OUT_DATA", "RPC_IN_DATA"])];
/// A body that is longer is not read past: the 1 GiB that RPC_IN_DATA announces never come.
const LONGEST_SKIPPED: u64 = 64 * 1024;

/// What the connections of one gateway have in common.
pub(super) struct Shared {
    pub(super) logon: Logon,
    pub(super) http: Http,
    pub(super) tunnel: Tunnel,
    /// DER.
    pub(super) certificate: Vec<u8>,
    pub(super) log: Arc<Log>,
    /// By RDG-Connection-Id or by virtual connection: what an OUT channel waits to hear from its IN channel.
    pub(super) waiting: RefCell<HashMap<String, Sender<Vec<u8>>>>,
    /// By virtual connection over RPC: who waits for another OUT channel.
    pub(super) successors: RefCell<HashMap<String, oneshot::Sender<Successor>>>,
    /// Another OUT channel waits.
    pub(super) waits: Notify,
}

/// Both directions of a connection, under TLS.
pub(super) struct Connection {
    pub(super) shared: Rc<Shared>,
    pub(super) number: usize,
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

/// Serves a connection until it ends.
pub(super) async fn serve(shared: Rc<Shared>, number: usize, stream: TcpStream, tls: TlsAcceptor) {
    let _ = stream.set_nodelay(true);
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return shared.log.add(number, What::Ended(format!("no TLS: {error}"))),
    };
    let server_name = stream.get_ref().1.server_name().map(str::to_owned);
    shared.log.add(number, What::Connected { server_name });
    let (reader, writer) = tokio::io::split(stream);
    let log = shared.log.clone();
    let connection = Connection { shared, number, reader: BufReader::new(reader), writer };
    let ended = match connection.requests().await {
        Ok(()) => "it is served".to_owned(),
        Err(error) => error.to_string(),
    };
    log.add(number, What::Ended(ended));
}

impl Connection {
    async fn requests(mut self) -> io::Result<()> {
        let shared = self.shared.clone();
        let mut authentication = Authentication::new(&shared.logon, &shared.certificate);
        while let Some(head) = Head::read(&mut self.reader).await? {
            self.log(What::Request(head.raw.clone()));
            if shared.http.silent {
                return Ok(());
            }
            if let Some(refusal) = self.refusal(&head) {
                self.answer_and_skip(&head, refusal).await?;
                continue;
            }
            match authentication.decide(&head) {
                Decision::Granted { scheme, user } => {
                    if scheme != "none" {
                        self.log(What::LoggedOn { scheme, user });
                    }
                }
                Decision::Ask { fields, refused } => {
                    if let Some(reason) = refused {
                        self.log(What::Refused { reason });
                    }
                    let response = Response::new(401, "Unauthorized");
                    let ask = |response: Response, field: &String| response.with("WWW-Authenticate", field);
                    self.answer_and_skip(&head, fields.iter().fold(response, ask)).await?;
                    continue;
                }
            }
            if head.expects_continue() {
                let interim = Response::new(100, "Continue").without_length();
                self.respond(interim).await?;
            }
            match head.method.as_str() {
                "RDG_OUT_DATA" => return self.out(&head).await,
                "RPC_OUT_DATA" => return rpc::serve_out(self).await,
                "RPC_IN_DATA" => return rpc::serve_in(self).await,
                _ => {}
            }
            if shared.http.in_channel == InChannel::Unanswered {
                return self.until_it_ends().await;
            }
            if head.is_chunked() {
                return two_connections::serve_in(self, &head).await;
            }
            http::skip(&mut self.reader, head.content_length()).await?;
            self.respond(Response::new(200, "OK")).await?;
        }
        Ok(())
    }

    /// What is not for a gateway, or not for this one.
    fn refusal(&self, head: &Head) -> Option<Response> {
        let refused = self.shared.http.refused_methods.iter().find(|(method, _)| *method == head.method);
        if let Some(&(_, status)) = refused {
            return Some(Response::new(status, "Refused"));
        }
        let is_served = self.shared.http.paths.iter().any(|path| head.target.starts_with(path));
        let path = METHODS.iter().find(|(path, _)| is_served && head.target.starts_with(path));
        match path {
            None => Some(Response::new(404, "Not Found")),
            Some((_, methods)) if methods.contains(&head.method.as_str()) => None,
            Some(_) => Some(Response::new(405, "Method Not Allowed")),
        }
    }

    async fn answer_and_skip(&mut self, head: &Head, response: Response) -> io::Result<()> {
        self.respond(response).await?;
        match head.content_length() {
            length @ 0..=LONGEST_SKIPPED => http::skip(&mut self.reader, length).await,
            _ => Err(io::Error::other("it announced a body that is not wanted")),
        }
    }

    async fn out(mut self, head: &Head) -> io::Result<()> {
        if !head.wants_websocket() {
            return two_connections::serve_out(self, head).await;
        }
        match self.shared.http.upgrade {
            Upgrade::Served => websocket::serve(self, head).await,
            Upgrade::Ignored => two_connections::serve_out(self, head).await,
            Upgrade::Refused(status) => {
                self.respond(Response::new(status, "Refused")).await?;
                // The client may ask again without an upgrade, on the same connection.
                Box::pin(self.requests()).await
            }
            Upgrade::Unanswered => self.until_it_ends().await,
            Upgrade::Dead => {
                websocket::accept(&mut self, head).await?;
                self.until_it_ends().await
            }
        }
    }

    async fn until_it_ends(&mut self) -> io::Result<()> {
        let mut sink = [0; 1024];
        while self.reader.read(&mut sink).await? > 0 {}
        Ok(())
    }

    /// Sends the head of a response.
    pub(super) async fn respond(&mut self, response: Response) -> io::Result<()> {
        let text = response.text(self.shared.http.version, &self.shared.http.fields);
        self.log(What::Response(text.clone()));
        http::write(&mut self.writer, text.as_bytes()).await
    }

    pub(super) fn log(&self, what: What) {
        self.shared.log.add(self.number, what);
    }
}
