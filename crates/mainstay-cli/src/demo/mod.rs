//! `mainstay demo`: a whole example on this machine, so that what Mainstay does can be seen and not only read.
//!
//! Four instances and a gateway run as processes of their own, a load asks for something without a pause, and one
//! instance after the other breaks in a way of its own. On a terminal a live view goes on until it is left; without one
//! there is one round, a line per phase and a summary, and the exit status says whether what had to hold held. However
//! it ends, processes and files are cleared away ([`stage`]).

mod script;
mod stage;
mod summary;
mod view;
mod watch;

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::Ratio;
use mainstay_drill::load::{self, Arrivals, CallersLuck, Methods, Pace, Plan, Profile, Schedule, Stop, Tally, Target};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::DemoArgs;
use crate::load::Told;
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::{print, runtime};
use script::Script;
use stage::Stage;
use watch::Watch;

/// What happens at the moment and what has happened, for whoever shows it.
#[derive(Debug, Clone, Default)]
struct Now {
    title: String,
    why: String,
    /// Which phase of how many.
    place: (usize, usize),
    /// When the next one begins, and what it is.
    next: Option<(tokio::time::Instant, String)>,
    /// The processes of the instances, for whoever wants to break one by hand.
    pids: Vec<u32>,
}

/// A value that one task writes and another shows.
type Shared<T> = Arc<Mutex<T>>;

fn read<T: Clone>(shared: &Shared<T>) -> T {
    shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn change<T>(shared: &Shared<T>, change: impl FnOnce(&mut T)) {
    change(&mut shared.lock().unwrap_or_else(PoisonError::into_inner));
}

/// `mainstay demo`
pub(crate) fn command(args: &DemoArgs) -> Outcome {
    let live = std::io::stdout().is_terminal() && !args.once && !args.json;
    runtime()?.block_on(async {
        let mut stage = Stage::set(args.port).await?;
        let outcome = if live { play_live(args, &mut stage).await } else { play_once(args, &mut stage).await };
        // Files and processes go even when something went wrong, and before it is reported.
        drop(stage);
        print::note("the demo has ended; its processes and files are gone");
        outcome
    })
}

/// The load of the demo: GETs at a steady rate, and how they fare.
struct Load {
    tally: Shared<Tally>,
    stop: Stop,
    task: tokio::task::JoinHandle<Tally>,
}

impl Load {
    fn start(args: &DemoArgs, stage: &Stage) -> Self {
        let plan = Plan {
            targets: vec![Target::at(stage.web().to_string(), "/")],
            pace: Pace::Open,
            duration: Duration::from_secs(365 * 24 * 3600),
            requests: u64::MAX,
            deadline: Duration::from_secs(2),
            connections: 1024,
            fields: String::new(),
            expect: vec!["\"path\":\"/\"".to_owned()],
            schedule: Schedule::new(
                CallersLuck::new(1, 0),
                Profile::steady(args.rate),
                Arrivals::Poisson,
                Methods::posts(Ratio::ZERO),
                "demo".to_owned(),
            ),
            samples: None,
        };
        let (tally, stop) = (Tally::shared(), Stop::new());
        let (shared, stopped) = (Arc::clone(&tally), stop.clone());
        let task = tokio::spawn(async move { load::run(Arc::new(plan), &stopped, shared).await });
        Self { tally, stop, task }
    }

    async fn end(self) -> Outcome<Tally> {
        self.stop.stop();
        self.task.await.map_err(while_doing("the load"))
    }
}

/// Waits for the wish to end: Ctrl-C, or what a supervisor sends.
async fn interrupted() -> Outcome<Trouble> {
    let mut terminate = signal(SignalKind::terminate()).map_err(while_doing("waiting for signals"))?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(while_doing("waiting for signals"))?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(Trouble::failed("interrupted"))
}

async fn play_once(args: &DemoArgs, stage: &mut Stage) -> Outcome {
    print::note(stage.introduction());
    print::note(format_args!("one round takes {:.0} s", Script::new(args.phase).lasts().as_secs_f64()));
    let watch = Watch::start(stage)?;
    let load = Load::start(args, stage);
    let script = Script::new(args.phase);
    let played = tokio::select! {
        played = summary::play(&script, stage, &load.tally, &watch) => played?,
        interrupted = interrupted() => return Err(interrupted?),
    };
    let tally = load.end().await?;
    let summary = summary::Summary::new(played, &tally, &read(&watch.seen), stage, args.rate);
    if args.json {
        print::json(&summary.to_json())?;
    } else {
        print::result(&summary)?;
    }
    if summary.held() { Ok(()) } else { Err(Trouble::failed("what had to hold did not: see the summary")) }
}

async fn play_live(args: &DemoArgs, stage: &mut Stage) -> Outcome {
    let watch = Watch::start(stage)?;
    let load = Load::start(args, stage);
    let now = Shared::default();
    let script = Script::new(args.phase);
    let mut view = view::View::open(stage, &load.tally, &watch, &now);
    let shown = tokio::select! {
        shown = view.show() => shown,
        played = script.play_for_ever(stage, &now) => played,
        interrupted = interrupted() => interrupted.map(|_| ()),
    };
    drop(view);
    shown?;
    let tally = load.end().await?;
    print::result(Told(&tally))
}
