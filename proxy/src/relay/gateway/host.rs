//! What connections to a gateway need of the program: attempts that begin and end, and their sessions.

use super::attempts::{AttemptNumber, Begun, Joined};
use super::connection::GatewayConnection;
use super::side_channel::NamedPort;
use crate::observe::gateway::Belonging;
use crate::relay::conclude::conclude;
use crate::relay::listener::{Present, Shared};
use crate::relay::session::SharedSession;
use crate::relay::workers::Report;
use crate::trace::{Detail, GatewayMessage, Leg, Phase};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// A session to be run to its end; one that has been reported as begun.
pub(in crate::relay) type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The program as a connection knows it. Sessions that begin with a connection run on its thread.
#[derive(Clone)]
pub(in crate::relay) struct Host {
    pub(in crate::relay) shared: Arc<Shared>,
    pub(in crate::relay) reports: mpsc::UnboundedSender<Report>,
    pub(in crate::relay) jobs: mpsc::UnboundedSender<Job>,
}

impl Host {
    /// A connection of `peer` comes; nothing where it would begin a session and there are to be no more.
    pub(super) fn enter(&self, peer: SocketAddr, present: &Present) -> Option<GatewayConnection> {
        let sees_inside = present.settings.interception.is_some();
        let begin = || self.begin(peer.ip(), present, Instant::now());
        let (joined, begun) = self.shared.gateway_attempts.enter(peer.ip(), !sees_inside, begin)?;
        self.follow(begun, present, peer.ip());
        Some(GatewayConnection::new(self.clone(), joined, peer.ip(), sees_inside))
    }

    /// Where a connection of `client`, which came at `began`, belongs by what it says; nothing where that is where it is.
    pub(super) fn sort(
        &self,
        joined: (AttemptNumber, u32),
        belonging: &Belonging,
        client: IpAddr,
        began: Instant,
    ) -> Option<Joined> {
        let present = self.shared.present();
        let begin = || self.begin(client, &present, began);
        let (moved, begun) = self.shared.gateway_attempts.sort(joined, belonging, begin)?;
        self.follow(begun, &present, client);
        Some(moved)
    }

    pub(super) fn leave(&self, attempt: AttemptNumber, connection: u32) {
        self.shared.gateway_attempts.leave(attempt, connection);
    }

    pub(super) fn has_channel(&self, attempt: AttemptNumber) {
        self.shared.gateway_attempts.has_channel(attempt);
    }

    pub(super) fn is_refused(&self, attempt: AttemptNumber) {
        self.shared.gateway_attempts.is_refused(attempt);
    }

    pub(super) fn is_on_last_way(&self, attempt: AttemptNumber, is_last: bool) {
        self.shared.gateway_attempts.is_on_last_way(attempt, is_last);
    }

    pub(super) fn has_desktop(&self, attempt: AttemptNumber) {
        if self.shared.gateway_attempts.has_desktop(attempt) {
            self.shared.attempts.desktop();
        }
    }

    /// Whether UDP is to be off inside the tunnel, and TLS there passes through.
    pub(super) fn leaves_inner_udp(&self) -> bool {
        let present = self.shared.present();
        present.settings.gateway.as_ref().is_some_and(|it| it.inner_udp_off && it.inner.is_none())
    }

    /// The gateway has named the port of its side channel.
    pub(super) fn udp_port(&self, port: u16, session: &SharedSession) {
        // Nobody listens where datagrams are not relayed.
        let _ = self.shared.gateway_udp_ports.send(NamedPort { port, session: session.downgrade() });
    }

    /// Whether one more session may begin; it is reported as begun.
    pub(super) fn may_begin(&self) -> bool {
        let Ok(remaining) = self.shared.remaining.clone().try_acquire_owned() else { return false };
        // A session that was begun counts for good.
        remaining.forget();
        if self.shared.counts_sessions {
            // Nobody listens any more when the program ends without waiting for its sessions.
            let _ = self.reports.send(Report::Began);
        }
        true
    }

    fn begin(&self, client: IpAddr, present: &Present, began: Instant) -> Option<SharedSession> {
        if !self.may_begin() {
            return None;
        }
        let is_terminated_inside =
            present.settings.gateway.as_ref().is_some_and(|gateway| gateway.inner.is_some());
        let trace = self.shared.begin_trace(&present.settings, began);
        let session = SharedSession::of_gateway(trace, is_terminated_inside);
        self.shared.udp.register(client, &session);
        Some(session)
    }

    fn follow(&self, begun: Option<Begun>, present: &Present, client: IpAddr) {
        let Some(begun) = begun else { return };
        let job: Job = Box::pin(until_over(self.shared.clone(), begun, present.clone(), client));
        // The thread takes jobs for as long as it has connections.
        let _ = self.jobs.send(job);
    }
}

/// Where the tunnel was cut in silence: whether others were, after one as long.
fn tell_of_earlier_cuts(shared: &Shared, session: &SharedSession) {
    let mut observed = session.lock();
    let Some(for_us) = observed.silent_cut() else { return };
    let earlier_us = shared.gateway_attempts.cut_after(for_us);
    if !earlier_us.is_empty() {
        let detail = Detail::Gateway(GatewayMessage::CutAgain { for_us, earlier_us });
        observed.trace.say(Leg::Server, None, Phase::Closed, detail);
    }
}

/// Waits for the end of an attempt: no connection is open, and none is to be expected, because the way to the target was
/// opened or refused for good, or because nobody connects any more; otherwise time alone tells. Then comes the verdict.
async fn until_over(shared: Arc<Shared>, begun: Begun, present: Present, client: IpAddr) {
    let Begun { attempt, mut open } = begun;
    let Present { settings, mut stop } = present;
    let mut closed = shared.attempts.closed();
    let session = loop {
        if open.wait_for(|open| *open == 0).await.is_err() {
            return;
        }
        if let Some(window) = shared.gateway_attempts.waits(attempt) {
            tokio::select! {
                _ = open.wait_for(|open| *open > 0) => continue,
                () = tokio::time::sleep(window) => {}
                _ = closed.wait_for(|closed| *closed) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
        if let Some(session) = shared.gateway_attempts.retire(attempt) {
            break session;
        }
    };
    shared.udp.unregister(client, &session);
    tell_of_earlier_cuts(&shared, &session);
    let record = conclude(session, false, settings.knows_command).await;
    (shared.concluded)(&record);
}
