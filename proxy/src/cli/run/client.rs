//! The step in which the user's own client connects once.

use super::Run;
use super::arguments::RunArguments;
use super::company::Reply;
use super::plan::Step;
use crate::cli::Failure;
use crate::cli::ab::{PERSON, PROGRAM};
use crate::cli::console::Console;
use crate::cli::proxy::{Prepared, announce};
use crate::experiment::furthest;
use crate::recorder::Recorder;
use crate::relay::listener::{Listener, Settings};
use crate::relay::series::{Interruptions, Patience, Series};
use crate::trace::Record;
use std::net::SocketAddr;

/// There are no arms outside of an experiment.
const NO_ARM: &str = "-";

impl Run<'_> {
    /// What the user has to do in a step, as a sentence.
    pub(super) fn what_the_user_does(&self, step: Step) -> String {
        let again = if step == Step::Client { "once" } else { "each time" };
        match (&self.arguments.client, &self.found_client) {
            (Some(client), _) => format!("{} runs by itself.", client.program()),
            (None, Some(client)) if client.asks_at_terminal => {
                format!("{} opens and asks here for what it needs; log on {again} as usual.", client.name)
            }
            (None, Some(client)) => format!("{} opens; log on {again} as usual.", client.name),
            (None, None) => format!("Have your client ready: you connect {again} when you are told where."),
        }
    }

    /// Relays one attempt of the client; the record of its session that got furthest.
    pub(super) async fn watch(&mut self) -> Result<Option<Record>, Failure> {
        let mut arguments = self.arguments.proxy(self.folder.path().to_owned())?;
        if let Some(client) = &self.found_client {
            arguments.client = Some(client.command.clone());
        }
        arguments.settle()?;
        let (settings, trusted) = Prepared::new(&arguments)?.ready(self.output).await?;
        let settings = Settings { is_experiment: true, ..settings };
        let listener = Listener::bind(settings.clone()).await.map_err(Failure::not_done)?;
        announce(&listener, self.output);
        let console = Console::new(self.output.clone(), Some(self.folder.clone()));
        let recorder = Recorder::start_with(Some(self.folder.clone()), None, Box::new(console))
            .map_err(|error| Failure::not_done(format!("cannot start its recorder: {error}")))?;
        let handle = recorder.handle().ok_or_else(|| Failure::not_done("the recorder has ended"))?;
        let mut series = Series::start(listener, handle).map_err(Failure::not_done)?;
        let told = self.told(&settings, series.address());
        let (patience, output) = (self.patience(), self.output);
        let hears_keyboard = self.hears_keyboard();
        let attempted = {
            let spoken = async {
                // A bare Enter says that the client has done what it does.
                let _: Reply = self.company.speaks(hears_keyboard).await;
            };
            tokio::pin!(spoken);
            let never = std::future::pending();
            tokio::pin!(never);
            let interruptions = Interruptions { all: spoken, this: never };
            series.attempt(settings, NO_ARM, patience, || output.progress(&told), interruptions).await
        };
        series.finish().await;
        recorder.finish();
        drop(trusted);
        let record = furthest(attempted.map_err(Failure::not_done)?.records);
        if record.is_none() && self.company.left().is_none() {
            return Err(Failure::not_done(
                "the client made no connection that says anything; what the probe found stands",
            ));
        }
        Ok(record)
    }

    /// How long the client has: what the user has opened they close themselves.
    fn patience(&self) -> Patience {
        match self.arguments.client {
            Some(_) => PROGRAM,
            None => Patience { desktop: PERSON.whole, ..PERSON },
        }
    }

    /// The one thing to do now.
    fn told(&self, settings: &Settings, address: SocketAddr) -> String {
        let RunArguments { target, .. } = &self.arguments;
        let over =
            if self.hears_keyboard() && self.company.is_there() { "; Enter here ends this step" } else { "" };
        match (&settings.client, &settings.gateway) {
            (Some(client), _) => format!("{} is started{over}", client.program()),
            (None, Some(_)) => format!(
                "connect now as usual to {}, with {address} as the RD Gateway of your client{over}",
                target.host
            ),
            (None, None) => format!("connect now as usual, but to {address}: mstsc /v:{address}{over}"),
        }
    }
}
