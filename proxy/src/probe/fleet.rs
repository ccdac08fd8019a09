//! Many targets at once, each result handed on as it comes.

use crate::relay::target::Target;
use crate::trace::Record;
use std::future::Future;
use tokio::task::JoinSet;

/// How a run over several targets ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every target has its result.
    Done,
    /// It was told to stop; results of targets under way are lost.
    Interrupted,
}

/// Probes `targets` with `probe`, at most `concurrency` of them at a time and at least one, and hands each record to
/// `finished` as soon as it is there, in no order. A record is not kept. Ends early when `interrupted` completes, or
/// when `finished` answers with an error.
///
/// # Errors
/// What `finished` answered.
pub async fn run<P, F, E>(
    targets: impl IntoIterator<Item = Target>,
    concurrency: usize,
    probe: P,
    interrupted: impl Future<Output = ()>,
    mut finished: impl FnMut(Record) -> Result<(), E>,
) -> Result<Ended, E>
where
    P: Fn(Target) -> F,
    F: Future<Output = Record> + Send + 'static,
{
    let mut waiting = targets.into_iter();
    let mut running = JoinSet::new();
    let mut interrupted = std::pin::pin!(interrupted);
    for target in waiting.by_ref().take(concurrency.max(1)) {
        running.spawn(probe(target));
    }
    loop {
        let joined = tokio::select! {
            biased;
            () = &mut interrupted => return Ok(Ended::Interrupted),
            joined = running.join_next() => joined,
        };
        match joined {
            None => return Ok(Ended::Done),
            Some(Ok(record)) => finished(record)?,
            // A probe that panics is our own fault, and no target may be lost silently.
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
        }
        if let Some(target) = waiting.next() {
            running.spawn(probe(target));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Line, Probe};
    use std::collections::BTreeSet;
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    fn targets(count: usize) -> Vec<Target> {
        (0..count).map(|number| Target { host: format!("srv{number}"), port: 3389 }).collect()
    }

    fn record(target: &Target) -> Record {
        let probe = Probe { target: target.to_string(), ..Probe::default() };
        [Line::Probe(Box::new(probe))].into_iter().collect()
    }

    fn name(record: Record) -> String {
        record.probe.unwrap().target
    }

    #[tokio::test]
    async fn no_target_is_lost_and_never_more_run_than_allowed() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let probe = |target: Target| {
            let (running, most) = (running.clone(), most.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                record(&target)
            }
        };
        let mut seen = BTreeSet::new();
        let ended = run(targets(500), 7, probe, std::future::pending(), |record| {
            seen.insert(name(record));
            Ok::<(), Infallible>(())
        });
        assert_eq!(ended.await, Ok(Ended::Done));
        assert_eq!(seen.len(), 500);
        assert_eq!(most.load(Ordering::SeqCst), 7);
    }

    #[tokio::test]
    async fn a_target_that_hangs_holds_up_no_other_and_an_interruption_ends_it() {
        let others_done = Arc::new(Notify::new());
        let probe = |target: Target| async move {
            if target.host == "srv0" {
                std::future::pending::<()>().await;
            }
            record(&target)
        };
        let (mut count, notify) = (0, others_done.clone());
        let finished = |_| {
            count += 1;
            if count == 19 {
                notify.notify_one();
            }
            Ok::<(), Infallible>(())
        };
        let ended = run(targets(20), 2, probe, others_done.notified(), finished).await;
        assert_eq!((ended, count), (Ok(Ended::Interrupted), 19));
    }

    #[tokio::test]
    async fn it_ends_when_a_result_cannot_be_kept() {
        let mut count = 0;
        let probe = |target: Target| async move { record(&target) };
        let ended = run(targets(20), 3, probe, std::future::pending(), |_| {
            count += 1;
            if count == 5 { Err("the disk is full") } else { Ok(()) }
        });
        assert_eq!(ended.await, Err("the disk is full"));
        assert_eq!(count, 5);
    }

    #[tokio::test]
    async fn without_a_target_there_is_nothing_to_do() {
        let probe = |target: Target| async move { record(&target) };
        let ended = run(targets(0), 0, probe, std::future::pending(), |_| Ok::<(), Infallible>(()));
        assert_eq!(ended.await, Ok(Ended::Done));
    }
}
