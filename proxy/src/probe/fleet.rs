//! Many targets at once, each result handed on as it comes.

use crate::relay::target::Target;
use crate::trace::Record;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::vec;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// Finished records that wait for being taken. Where nobody takes them, the probes wait, and memory does not grow.
const MOST_WAITING: usize = 16;
/// Threads of a worker for what blocks: the system's resolver, which may take its time for each of many names.
const BLOCKING_THREADS: usize = 128;

/// Probes under way. Dropping it ends them; what they had found is lost.
///
/// Each processor has a worker, a thread with a runtime of its own, so that what probes a target need not move
/// between threads.
#[derive(Debug)]
pub struct Fleet {
    results: mpsc::Receiver<Record>,
    workers: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Starts probing `targets` with `probe`, at most `concurrency` of them at a time, and at least one.
    ///
    /// # Errors
    /// The system has no thread or no descriptor for a worker.
    pub fn start<P, F>(targets: Vec<Target>, concurrency: usize, probe: P) -> io::Result<Fleet>
    where
        P: Fn(Target) -> F + Clone + Send + 'static,
        F: Future<Output = Record>,
    {
        let concurrency = concurrency.clamp(1, targets.len().max(1));
        let processors = thread::available_parallelism().map_or(1, usize::from).min(concurrency);
        let queue = Arc::new(Mutex::new(targets.into_iter()));
        let (sender, results) = mpsc::channel(MOST_WAITING);
        let mut fleet = Fleet { results, workers: Vec::new() };
        for number in 0..processors {
            let share = concurrency / processors + usize::from(number < concurrency % processors);
            let runtime =
                Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build()?;
            let (queue, probe, sender) = (queue.clone(), probe.clone(), sender.clone());
            let worker = move || work(runtime, share, &queue, probe, &sender);
            fleet.workers.push(thread::Builder::new().name(format!("probe {number}")).spawn(worker)?);
        }
        Ok(fleet)
    }

    /// The next result, in no order; `None` when every target has had its own.
    pub async fn next(&mut self) -> Option<Record> {
        let record = self.results.recv().await;
        if record.is_none() {
            self.join();
        }
        record
    }

    /// Waits for the workers, which have nothing left to do. One that panicked is our own fault, and its targets may
    /// not be lost silently.
    fn join(&mut self) {
        for worker in self.workers.drain(..) {
            if let Err(panic) = worker.join()
                && !thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // From here on the workers find nobody to send to, and end.
        self.results.close();
        while self.results.try_recv().is_ok() {}
        self.join();
    }
}

/// A worker's life.
fn work<F: Future<Output = Record>>(
    runtime: Runtime,
    share: usize,
    queue: &Mutex<vec::IntoIter<Target>>,
    probe: impl Fn(Target) -> F,
    results: &mpsc::Sender<Record>,
) {
    runtime.block_on(async {
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < share {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(target) = next else { break };
                running.push(probe(target));
            }
            let record = tokio::select! {
                () = results.closed() => return,
                record = running.next() => record,
            };
            let Some(record) = record else { return };
            if results.send(record).await.is_err() {
                return;
            }
        }
    });
    // A lookup that hangs in the system's resolver holds up nothing.
    runtime.shutdown_background();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Line, Probe};
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn targets(count: usize) -> Vec<Target> {
        (0..count).map(|number| Target { host: format!("srv{number}"), port: 3389 }).collect()
    }

    fn record(target: &Target) -> Record {
        let probe = Probe { target: target.to_string(), ..Probe::default() };
        [Line::Probe(Box::new(probe))].into_iter().collect()
    }

    async fn echo(target: Target) -> Record {
        record(&target)
    }

    /// Counts what is lost when it is dropped.
    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn no_target_is_lost_and_never_more_run_than_allowed() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (now, highest) = (running.clone(), most.clone());
        let probe = move |target: Target| {
            let (now, highest) = (now.clone(), highest.clone());
            async move {
                highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _counted = Counted(now);
                tokio::task::yield_now().await;
                record(&target)
            }
        };
        let mut fleet = Fleet::start(targets(500), 7, probe).unwrap();
        let mut seen = BTreeSet::new();
        while let Some(record) = fleet.next().await {
            assert!(seen.insert(record.probe.unwrap().target));
        }
        assert_eq!((seen.len(), running.load(Ordering::SeqCst)), (500, 0));
        assert!((1..=7).contains(&most.load(Ordering::SeqCst)), "{most:?} at a time");
    }

    #[tokio::test]
    async fn a_target_that_hangs_holds_up_no_other_and_can_be_left() {
        let running = Arc::new(AtomicUsize::new(0));
        let now = running.clone();
        let probe = move |target: Target| {
            now.fetch_add(1, Ordering::SeqCst);
            let counted = Counted(now.clone());
            async move {
                let _counted = counted;
                if target.host == "srv0" {
                    std::future::pending::<()>().await;
                }
                record(&target)
            }
        };
        let mut fleet = Fleet::start(targets(200), 4, probe).unwrap();
        for _ in 1..200 {
            assert_ne!(fleet.next().await.unwrap().probe.unwrap().target, "srv0:3389");
        }
        assert_eq!(running.load(Ordering::SeqCst), 1);
        drop(fleet);
        assert_eq!(running.load(Ordering::SeqCst), 0, "it was ended");
    }

    #[tokio::test]
    async fn results_that_nobody_takes_hold_up_nothing_at_the_end() {
        let mut fleet = Fleet::start(targets(5000), 100, echo).unwrap();
        assert!(fleet.next().await.is_some());
        drop(fleet);
    }

    #[tokio::test]
    async fn without_a_target_there_is_nothing_to_do() {
        let mut fleet = Fleet::start(targets(0), 0, echo).unwrap();
        assert_eq!(fleet.next().await, None);
    }

    #[tokio::test]
    #[should_panic(expected = "our own fault")]
    async fn a_panic_is_not_swallowed() {
        let probe = |target: Target| async move {
            assert!(target.host != "srv3", "our own fault");
            record(&target)
        };
        let mut fleet = Fleet::start(targets(9), 2, probe).unwrap();
        while fleet.next().await.is_some() {}
    }
}
