//! Calls that are dropped on their way give back what they held.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use mainstay::{BulkheadSettings, Facts, Limit, Service};

use crate::world::{Script, read, single};

fn one_at_a_time() -> BulkheadSettings {
    BulkheadSettings { concurrency: Limit::At(1), ..BulkheadSettings::default() }
}

fn poll_once(future: std::pin::Pin<&mut impl Future>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_call_that_is_dropped_while_it_runs_gives_its_permit_to_the_next() {
    let (time, database) = single(|builder| builder.bulkhead(one_at_a_time()));
    let script = Script::new(&time, &[(60_000, Ok("late")), (1, Ok("rows"))]);
    {
        let mut call = pin!(database.call(read(), script.attempt()).into_future());
        assert!(!poll_once(call.as_mut()));
        assert_eq!(database.view().in_flight, 1);
    }
    assert_eq!(database.view().in_flight, 0);
    assert_eq!(time.run(async { database.call(read(), script.attempt()).await }).unwrap(), "rows");
}

#[test]
fn a_call_that_is_dropped_while_it_waits_leaves_its_place() {
    let (time, database) = single(|builder| builder.bulkhead(one_at_a_time()));
    let script = Script::new(&time, &[(10, Ok("rows"))]);
    let mut running = Box::pin(database.call(read(), script.attempt()).into_future());
    assert!(!poll_once(running.as_mut()));
    {
        let mut waiting = pin!(database.call(read(), script.attempt()).into_future());
        assert!(!poll_once(waiting.as_mut()));
        assert_eq!(database.view().waiting, 1);
    }
    assert_eq!(database.view().waiting, 0);
    time.run(running).unwrap();
}

#[test]
fn a_permit_on_its_way_to_a_call_that_is_dropped_is_not_lost() {
    let (time, database) = single(|builder| builder.bulkhead(one_at_a_time()));
    let script = Script::new(&time, &[(10, Ok("rows"))]);
    let mut running = Box::pin(database.call(read(), script.attempt()).into_future());
    assert!(!poll_once(running.as_mut()));
    let mut waiting = Box::pin(database.call(read(), script.attempt()).into_future());
    assert!(!poll_once(waiting.as_mut()));
    // The permit is granted to the one that waits, and it never learns of it.
    time.run(running).unwrap();
    drop(waiting);
    assert_eq!((database.view().in_flight, database.view().waiting), (0, 0));
    time.run(async { database.call(read(), script.attempt()).await }).unwrap();
}

#[test]
fn a_call_that_was_never_polled_holds_nothing() {
    let database: Service<()> = Service::builder("database").build().unwrap();
    drop(database.call(Facts::default(), |_| async { Ok::<_, ()>(()) }));
    assert_eq!(database.view().in_flight, 0);
}

#[test]
fn an_attempt_is_dropped_before_its_permit_is_free() {
    struct Connection<'a>(&'a Service<()>);
    impl Drop for Connection<'_> {
        fn drop(&mut self) {
            assert_eq!(self.0.view().in_flight, 1, "the pool has it back before another may come");
        }
    }
    let (_time, database) = single(|builder| builder.bulkhead(one_at_a_time()));
    let mut call = Box::pin(
        database
            .call(read(), |_| {
                let connection = Connection(&database);
                async move {
                    std::future::pending::<()>().await;
                    drop(connection);
                    Ok::<_, ()>(())
                }
            })
            .into_future(),
    );
    assert!(!poll_once(call.as_mut()));
    drop(call);
    assert_eq!(database.view().in_flight, 0);
}
