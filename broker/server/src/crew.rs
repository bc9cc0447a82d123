//! Threads for work that a worker must not wait for: slow hashes, reads from the disk.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// A few threads with one queue. They live as long as the process.
pub(crate) struct Crew<J> {
    queue: Arc<Queue<J>>,
    jobs_max: usize,
}

/// How the threads of a crew share their work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sharing {
    /// Jobs that a thread takes together, in the order they came.
    pub(crate) at_once: usize,
    /// How long a job waits for a thread that is at work, because jobs are cheaper together, before
    /// another thread takes it.
    pub(crate) patience: Duration,
}

impl Sharing {
    /// Each job for itself, at once.
    pub(crate) const ALONE: Self = Self { at_once: 1, patience: Duration::ZERO };
}

struct Queue<J> {
    waiting: Mutex<Waiting<J>>,
    arrived: Condvar,
    sharing: Sharing,
}

struct Waiting<J> {
    /// With the time at which they came.
    jobs: VecDeque<(Instant, J)>,
    /// Threads that work.
    at_work: usize,
}

impl<J: Send + 'static> Crew<J> {
    /// Starts `threads` threads that do `work` with the jobs that wait; at most `jobs_max` do.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub(crate) fn start(
        name: &str,
        threads: usize,
        jobs_max: usize,
        sharing: Sharing,
        work: impl Fn(Vec<J>) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let waiting = Mutex::new(Waiting { jobs: VecDeque::new(), at_work: 0 });
        let queue = Arc::new(Queue { waiting, arrived: Condvar::new(), sharing });
        let work = Arc::new(work);
        for number in 0..threads {
            let (queue, work) = (Arc::clone(&queue), Arc::clone(&work));
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                loop {
                    work(queue.take());
                    queue.lock().at_work -= 1;
                }
            })?;
        }
        Ok(Self { queue, jobs_max })
    }

    /// Queues a job.
    ///
    /// # Errors
    /// Gives it back when the queue is full.
    pub(crate) fn push(&self, job: J) -> Result<(), J> {
        let mut waiting = self.queue.lock();
        if waiting.jobs.len() >= self.jobs_max {
            return Err(job);
        }
        waiting.jobs.push_back((Instant::now(), job));
        // Whoever waits for a thread that is at work looks at the clock for the first of them.
        let is_awaited = waiting.at_work > 0 && waiting.jobs.len() > 1;
        drop(waiting);
        if !is_awaited || self.queue.sharing.patience.is_zero() {
            self.queue.arrived.notify_one();
        }
        Ok(())
    }
}

impl<J> Queue<J> {
    /// Waits for a job, and takes with it those that wait behind it. The thread is at work then.
    fn take(&self) -> Vec<J> {
        let Sharing { at_once, patience } = self.sharing;
        let mut waiting = self.lock();
        loop {
            let Some((since, _)) = waiting.jobs.front() else {
                waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let patience = patience.saturating_sub(since.elapsed());
            if waiting.at_work == 0 || patience.is_zero() {
                break;
            }
            let waited = self.arrived.wait_timeout(waiting, patience);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.at_work += 1;
        let taken = at_once.min(waiting.jobs.len());
        let jobs = waiting.jobs.drain(..taken).map(|(_, job)| job).collect();
        if !waiting.jobs.is_empty() {
            self.arrived.notify_one();
        }
        jobs
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<J>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> fmt::Debug for Crew<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("jobs_max", &self.jobs_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn every_job_is_done_and_the_queue_has_an_end() {
        for at_once in [1, 2, 3] {
            let (done, results) = mpsc::channel();
            let (go, gate) = mpsc::channel();
            let gate = Mutex::new(gate);
            let sharing = Sharing { at_once, ..Sharing::ALONE };
            let crew = Crew::start("test", 1, 2, sharing, move |jobs: Vec<u32>| {
                assert!((1..=at_once).contains(&jobs.len()));
                gate.lock().unwrap().recv().unwrap();
                jobs.into_iter().for_each(|job| done.send(job).unwrap());
            })
            .unwrap();
            let mut taken = Vec::new();
            for job in 0..10 {
                if crew.push(job).is_ok() {
                    taken.push(job);
                }
            }
            // Two wait; up to as many more may already be in hand.
            assert!((2..=2 + at_once).contains(&taken.len()), "{taken:?}");
            for _ in &taken {
                go.send(()).unwrap();
            }
            assert_eq!(results.iter().take(taken.len()).collect::<Vec<_>>(), taken);
        }
    }

    /// Two threads, of which one is at work until the test lets go.
    fn crew(patience: Duration) -> (Crew<u32>, mpsc::Sender<()>, mpsc::Receiver<Vec<u32>>) {
        let (done, results) = mpsc::channel();
        let (go, gate) = mpsc::channel();
        let gate = Mutex::new(gate);
        let sharing = Sharing { at_once: 2, patience };
        let crew = Crew::start("test", 2, usize::MAX, sharing, move |jobs: Vec<u32>| {
            let is_first = jobs == [0];
            done.send(jobs).unwrap();
            if is_first {
                gate.lock().unwrap().recv().unwrap();
            }
        })
        .unwrap();
        crew.push(0).unwrap();
        assert_eq!(results.recv().unwrap(), [0]);
        (crew, go, results)
    }

    #[test]
    fn jobs_wait_for_a_thread_that_is_at_work() {
        let (crew, go, results) = crew(Duration::from_secs(3600));
        for job in 1..=3 {
            crew.push(job).unwrap();
        }
        assert!(results.try_recv().is_err());
        go.send(()).unwrap();
        assert_eq!(results.recv().unwrap(), [1, 2]);
        assert_eq!(results.recv().unwrap(), [3]);
    }

    #[test]
    fn another_thread_takes_what_has_waited_long_enough() {
        let (crew, _go, results) = crew(Duration::from_millis(1));
        for job in 1..=2 {
            crew.push(job).unwrap();
            assert_eq!(results.recv().unwrap(), [job]);
        }
    }
}
