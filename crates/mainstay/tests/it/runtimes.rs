//! The same on tokio, and on no runtime at all.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Duration;

use mainstay::time::ThreadTime;
use mainstay::{Error, Facts, Service};

#[test]
fn on_tokio_an_attempt_that_hangs_ends_with_its_call() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let database = Service::builder("database").build().unwrap();
        let facts = Facts::idempotent().within(Duration::from_millis(30));
        let answer = database.call(facts, |_| std::future::pending::<Result<(), ()>>()).await;
        assert!(matches!(answer, Err(Error::TimedOut { attempts: 1, .. })), "{answer:?}");
        // The future of a call may move to another thread.
        let spawned = tokio::spawn({
            let database = database.clone();
            async move { database.call(Facts::once(), |_| async { Ok::<_, ()>(1) }).await }
        });
        assert_eq!(spawned.await.unwrap().unwrap(), 1);
    });
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(std::thread::current())).into();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

#[test]
fn without_a_runtime_a_thread_keeps_the_time() {
    let database = Service::builder("database").time(ThreadTime::new()).build().unwrap();
    let facts = Facts::idempotent().within(Duration::from_millis(30));
    let answer = block_on(async { database.call(facts, |_| std::future::pending::<Result<(), ()>>()).await });
    assert!(matches!(answer, Err(Error::TimedOut { attempts: 1, .. })), "{answer:?}");
}
