//! A stream inside TLS, whichever stack speaks it.

use super::Tee;
use crate::wire::tls::CodePoint;
use crate::wire::tls::names;
use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// What goes through TLS, in clear.
///
/// Reading nothing means close_notify; FIN without it, RST and alerts are errors, which [`super::read_ending`] tells
/// apart. One write makes one record, as long as it is no longer than 16384 bytes. `shutdown` sends close_notify and
/// FIN; [`TlsStream::fin`] sends FIN alone.
pub struct TlsStream<S>(Inner<S>);

enum Inner<S> {
    Rustls(Box<tokio_rustls::TlsStream<Tee<S>>>),
    #[cfg(feature = "legacy-tls")]
    OpenSsl(Box<tokio_openssl::SslStream<Tee<S>>>),
}

impl<S> TlsStream<S> {
    pub(super) fn from_rustls(stream: tokio_rustls::TlsStream<Tee<S>>) -> TlsStream<S> {
        let mut stream = TlsStream(Inner::Rustls(Box::new(stream)));
        stream.tee_mut().handshake_is_over();
        stream
    }

    #[cfg(feature = "legacy-tls")]
    pub(super) fn from_openssl(stream: Box<tokio_openssl::SslStream<Tee<S>>>) -> TlsStream<S> {
        let mut stream = TlsStream(Inner::OpenSsl(stream));
        stream.tee_mut().handshake_is_over();
        stream
    }

    /// The wire below.
    pub fn tee(&self) -> &Tee<S> {
        match &self.0 {
            Inner::Rustls(stream) => stream.get_ref().0,
            #[cfg(feature = "legacy-tls")]
            Inner::OpenSsl(stream) => stream.get_ref(),
        }
    }

    /// The wire below. What is written here goes out as it is.
    pub fn tee_mut(&mut self) -> &mut Tee<S> {
        match &mut self.0 {
            Inner::Rustls(stream) => stream.get_mut().0,
            #[cfg(feature = "legacy-tls")]
            Inner::OpenSsl(stream) => stream.get_mut(),
        }
    }

    /// Whether something waits to be sent: what was written, or an answer of TLS itself, such as the refusal of a
    /// renegotiation, which goes out with the next write or flush.
    pub fn has_unsent(&self) -> bool {
        match &self.0 {
            Inner::Rustls(stream) => stream.get_ref().1.wants_write(),
            // OpenSSL sends its own answers while it reads.
            #[cfg(feature = "legacy-tls")]
            Inner::OpenSsl(_) => false,
        }
    }

    /// The version that was agreed on, `"TLS1.2"`.
    pub fn version(&self) -> Option<Cow<'static, str>> {
        let number = match &self.0 {
            Inner::Rustls(stream) => stream.get_ref().1.protocol_version().map(u16::from),
            #[cfg(feature = "legacy-tls")]
            Inner::OpenSsl(stream) => super::legacy::version(stream.ssl()),
        };
        number.map(names::version)
    }

    /// The cipher suite that was agreed on.
    pub fn cipher_suite(&self) -> Option<CodePoint> {
        let number = match &self.0 {
            Inner::Rustls(stream) => {
                stream.get_ref().1.negotiated_cipher_suite().map(|suite| u16::from(suite.suite()))
            }
            #[cfg(feature = "legacy-tls")]
            Inner::OpenSsl(stream) => super::legacy::cipher_suite(stream.ssl()),
        };
        number.map(names::cipher_suite)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Ends our direction by FIN without close_notify, as the other side of the proxy did. For RST, set the socket
    /// below ([`Tee::get_ref`]) to linger for no time and drop it.
    pub async fn fin(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.tee_mut().shutdown().await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Rustls(stream) => Pin::new(stream).poll_read(context, buffer),
            #[cfg(feature = "legacy-tls")]
            Inner::OpenSsl(stream) => super::legacy::poll_read(stream, context, buffer),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Inner::Rustls(stream) => Pin::new(stream).poll_write(context, bytes),
            #[cfg(feature = "legacy-tls")]
            Inner::OpenSsl(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Inner::Rustls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            #[cfg(feature = "legacy-tls")]
            Inner::OpenSsl(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Inner::Rustls(stream) => stream.is_write_vectored(),
            #[cfg(feature = "legacy-tls")]
            Inner::OpenSsl(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Rustls(stream) => Pin::new(stream).poll_flush(context),
            #[cfg(feature = "legacy-tls")]
            Inner::OpenSsl(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Inner::Rustls(stream) => Pin::new(stream).poll_shutdown(context),
            #[cfg(feature = "legacy-tls")]
            Inner::OpenSsl(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
