//! Threads for work that a worker must not wait for: slow hashes, reads from the disk.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

/// A few threads with one queue. They live as long as the process.
pub(crate) struct Crew<J> {
    queue: Arc<Queue<J>>,
    jobs_max: usize,
}

struct Queue<J> {
    jobs: Mutex<VecDeque<J>>,
    arrived: Condvar,
}

impl<J: Send + 'static> Crew<J> {
    /// Starts `threads` threads that do `work` with the jobs that wait, at most `at_once` of them in
    /// the order they came; at most `jobs_max` jobs wait.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub(crate) fn start(
        name: &str,
        threads: usize,
        jobs_max: usize,
        at_once: usize,
        work: impl Fn(Vec<J>) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue { jobs: Mutex::new(VecDeque::new()), arrived: Condvar::new() });
        let work = Arc::new(work);
        for number in 0..threads {
            let (queue, work) = (Arc::clone(&queue), Arc::clone(&work));
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                loop {
                    work(queue.take(at_once));
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
        let mut jobs = self.queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.len() >= self.jobs_max {
            return Err(job);
        }
        jobs.push_back(job);
        drop(jobs);
        self.queue.arrived.notify_one();
        Ok(())
    }
}

impl<J> Queue<J> {
    /// Waits for a job, and takes with it those that wait behind it.
    fn take(&self, at_once: usize) -> Vec<J> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        while jobs.is_empty() {
            jobs = self.arrived.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
        let taken = at_once.clamp(1, jobs.len());
        jobs.drain(..taken).collect()
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
            let crew = Crew::start("test", 1, 2, at_once, move |jobs: Vec<u32>| {
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
}
