//! A thread that talks to a remote store, so that whoever uses the store need not be asynchronous, and a lease is kept meanwhile.

use std::future::Future;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::state::StoreError;

/// The thread; it ends with this.
pub(super) struct Worker {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    name: String,
}

impl Worker {
    /// # Errors
    /// The system has no thread left, or no more open files.
    pub(super) fn start(name: &str) -> Result<Self, StoreError> {
        let failed = |e: std::io::Error| lost(name, e.to_string());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("remote state".to_owned());
        let thread = thread.spawn(move || {
            let _ = runtime.block_on(stopped);
            // What is under way is given up: a name that is being looked up would be waited for otherwise.
            runtime.shutdown_background();
        });
        let thread = Some(thread.map_err(failed)?);
        Ok(Worker { handle, stop: Some(stop), thread, name: name.to_owned() })
    }

    /// Does something there, and waits for it. That may be asked within another runtime, whose thread waits then.
    pub(super) fn call<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            let _ = sender.send(work.await);
        });
        receiver.recv().unwrap_or_else(|_| Err(lost(&self.name, "its thread has ended".to_owned())))
    }

    /// Lets something run there.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> tokio::task::AbortHandle {
        self.handle.spawn(work).abort_handle()
    }
}

fn lost(name: &str, reason: String) -> StoreError {
    StoreError::Remote { name: name.to_owned(), what: "talk to it", reason, help: "start again" }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
