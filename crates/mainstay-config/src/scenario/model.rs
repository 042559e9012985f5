//! A scenario as those see it who play it: every name resolved to a position, every number in its range.
//!
//! A scenario says what comes (its workloads), what stands there to meet it (instances, network, gateways), what goes
//! wrong (faults) and what must hold. Who plays it may be unable to play a part of it: a simulated instance has no disk,
//! a real network no delivery at the heal. That is the player's to refuse, by the part's line.

use mainstay_core::{Duration, Limit, MethodClass, Rate, Ratio};
use mainstay_policy::AutoscaleSettings;

/// A whole scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// How long it lasts. Default 60 s.
    pub duration: Duration,
    /// What is not counted, at its beginning: pools and estimates are empty then. Default none.
    pub warmup: Duration,
    /// Where its luck comes from. Default 1.
    pub seed: u64,
    /// Who calls, at least one.
    pub workloads: Vec<Workload>,
    /// What stands behind the services. A service that none of them names has the one without a name, or
    /// [`Instances::default`].
    pub instances: Vec<Instances>,
    /// What lies between gateways and instances.
    pub network: Network,
    /// What stands between callers and instances.
    pub gateways: Gateways,
    /// What goes wrong, in the file's order.
    pub faults: Vec<Fault>,
    /// What must hold.
    pub holds: Vec<HoldSpec>,
    /// When a drill of it begins, and when it is broken off. A simulation breaks nothing.
    pub guard: Guard,
}

/// `[guard]`: what a drill may not do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    /// How long the steady state is looked at before anything is broken. Default 3 s.
    pub steady: Duration,
    /// The share of its calls that has to be good; none for what `hold.good` asks for, or 99 %.
    pub steady_good: Option<Ratio>,
    /// And 99 of 100 are answered within this; none for whenever.
    pub steady_p99: Option<Duration>,
    /// The drill is broken off when less than this share of the calls is good; none for never.
    pub good: Option<Ratio>,
    /// And when 99 of 100 are not answered within this; none for never.
    pub p99: Option<Duration>,
    /// For so many seconds one after the other, at least one. Default 3.
    pub seconds: u32,
    /// Share of a service's instances that may be struck at one time; one always may. Default 50 %.
    pub max_victims: Ratio,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            steady: Duration::from_secs(3),
            steady_good: None,
            steady_p99: None,
            good: None,
            p99: None,
            seconds: 3,
            max_victims: Ratio::percent(50),
        }
    }
}

/// `[workload]`, or one of several `[[workload]]`: callers of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// What it is called in a report. Default the service's name.
    pub name: String,
    /// What is called, by its name in the configuration.
    pub service: String,
    /// The path that is called. Default: that of the first route to the service.
    pub path: Option<String>,
    /// When calls are due.
    pub load: Load,
    /// How long a caller waits, from the moment a call was due; then it leaves. Default 2 s.
    pub deadline: Duration,
    /// Whether it tells so, in `x-mainstay-deadline-ms`. Default false.
    pub tells_deadline: bool,
    /// How often which method comes, by weight; at least one, with a sum of 1 or more. Default only GET.
    pub methods: Vec<(String, u32)>,
    /// How many callers there are: each has an address of its own. Default 100.
    pub callers: u32,
    /// How often a caller asks once more by itself after a failure, within its deadline. Default 0.
    pub retries: u32,
    /// How many different things are asked for. Default 1,000.
    pub keys: u32,
    /// How much more often the first of them are: the exponent of Zipf's law, 0 for all alike. Default 1.
    pub skew: f64,
    /// Where it begins in the file.
    pub line: Option<u32>,
}

/// When calls are due.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// As they come, whatever becomes of the earlier ones: at least one step, the first at 0, in the order of time.
    Open {
        /// How often.
        steps: Vec<Step>,
        /// How they lie.
        arrivals: Arrivals,
    },
    /// Each caller has one call at a time and thinks before the next.
    Closed {
        /// How many callers, 1 or more.
        clients: u32,
        /// How long each thinks, from the end of a call. Default not at all.
        think: Distribution,
    },
}

/// From here on, so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When it begins.
    pub at: Duration,
    /// How often, once it is reached; `None` for not at all.
    pub rate: Option<Rate>,
    /// How long it takes to get there from the rate before, in a straight line. Default no time.
    pub over: Duration,
}

/// How open arrivals lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// Independent of each other.
    Poisson,
    /// All equally far from each other.
    Uniform,
}

/// A length of time that is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Always the same.
    Fixed(Duration),
    /// Without a memory, by its mean.
    Exponential(Duration),
    /// Its logarithm is normal: by its mean, and the standard deviation of the logarithm (above 0, to 4).
    Lognormal {
        /// The mean of the lengths themselves.
        mean: Duration,
        /// Of the logarithm.
        sigma: f64,
    },
    /// Few are very long: by its mean, and its exponent (above 1, to 100).
    Pareto {
        /// The mean.
        mean: Duration,
        /// The smaller, the longer the tail.
        alpha: f64,
    },
    /// Most are short and a share of them is long.
    Bimodal {
        /// Most of them.
        fast: Duration,
        /// The others.
        slow: Duration,
        /// How many others.
        share: Ratio,
    },
}

impl Distribution {
    /// How long it is in the mean.
    #[must_use]
    pub fn mean(self) -> Duration {
        match self {
            Self::Fixed(mean) | Self::Exponential(mean) | Self::Lognormal { mean, .. } | Self::Pareto { mean, .. } => {
                mean
            }
            Self::Bimodal { fast, slow, share } => fast.mul_f64(1.0 - share.get()) + slow.mul_f64(share.get()),
        }
    }
}

/// `[instance]`, or one of several `[[instance]]`: what stands behind a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Instances {
    /// Of which service, by its name in the configuration; `None` for all that have none of their own.
    pub service: Option<String>,
    /// How many, at the beginning. Default as many as the service has endpoints, 4 for a service that discovers them, and
    /// the least that there may be where their number changes.
    pub count: Option<u32>,
    /// How many calls each works on at once. Default 8.
    pub concurrency: Limit<u32>,
    /// How long work takes. Default exponential with a mean of 10 ms.
    pub service_time: Distribution,
    /// How many may wait; what comes after that is answered 503 at once. Default 400.
    pub queue: Limit<u32>,
    /// Who is served next. Default first come, first served.
    pub discipline: Discipline,
    /// Whether what waited beyond its caller's deadline is thrown away when its turn comes. Default false.
    pub drop_expired: bool,
    /// What becomes of the work of a caller who has left. Default it is done.
    pub abandoned: Abandoned,
    /// How much longer work takes for each other call that is there, waiting or worked on. Default not at all.
    pub slowdown: Ratio,
    /// How much longer work takes at an instance that has just started. Default not at all.
    pub warm_up: Option<WarmUp>,
    /// What each keeps so that it need not ask others. Default nothing.
    pub cache: Option<Cache>,
    /// Whom it calls for each piece of work, one after the other, while it holds its slot. Default nobody.
    pub calls: Vec<Dependency>,
    /// Where they stand, in turn. Default where the configuration says.
    pub zones: Vec<String>,
    /// What changes their number. Default nothing.
    pub autoscale: Option<Autoscale>,
    /// Where it begins in the file.
    pub line: Option<u32>,
}

/// Instances of a service that finds them by itself, where the scenario does not say how many.
const DISCOVERED: u32 = 4;

impl Instances {
    /// How many there are at the beginning, where the configuration lists so many endpoints.
    #[must_use]
    pub fn at_first(&self, listed: u32) -> u32 {
        let usual = match self.autoscale {
            Some(autoscale) => autoscale.policy.min,
            None if listed == 0 => DISCOVERED,
            None => listed,
        };
        self.count.unwrap_or(usual)
    }

    /// How many there may come to be.
    #[must_use]
    pub fn at_most(&self, listed: u32) -> u32 {
        self.autoscale.map_or_else(|| self.at_first(listed), |autoscale| autoscale.policy.max)
    }
}

/// Who is served next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// First come, first served.
    Fifo,
    /// Last come, first served.
    Lifo,
    /// First come, first served, but what waited too long for too long is thrown away (Nichols and Jacobson, "Controlling
    /// queue delay", 2012).
    Codel {
        /// A wait that is well. Default 5 ms.
        target: Duration,
        /// How long all must wait longer than that. Default 100 ms.
        interval: Duration,
    },
}

/// What becomes of the work of a caller who has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// It is done all the same: most servers never learn of it.
    Done,
    /// It is thrown away if it has not begun.
    Dequeued,
    /// It is broken off.
    Cancelled,
}

impl Abandoned {
    /// All of them with their words.
    pub const ALL: [(&'static str, Self); 3] =
        [("done", Self::Done), ("dequeued", Self::Dequeued), ("cancelled", Self::Cancelled)];
}

/// How much longer work takes at an instance that has just started.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmUp {
    /// So many times as long at first, 1 to 1000.
    pub factor: f64,
    /// And as long as ever after this, in a straight line.
    pub over: Duration,
}

/// What an instance keeps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cache {
    /// How long. Default 60 s.
    pub ttl: Duration,
    /// How long work takes that finds what it needs; it calls nobody. Default 1 ms.
    pub hit_time: Distribution,
    /// Whether what was fetched for a caller who has left is kept. Default true.
    pub keeps_late: bool,
    /// Whether it begins full. Default true.
    pub warm: bool,
}

/// Whom an instance calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependency {
    /// By its name in the configuration, whose settings for it hold here too.
    pub service: String,
    /// For which share of the work. Default all of it.
    pub share: Ratio,
    /// How often, one after the other. Default once.
    pub times: u32,
    /// How long each such call may take. Default 2 s, and never longer than what is left of the caller's own.
    pub deadline: Duration,
}

/// `[instance.autoscale]`: what changes the number of instances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Autoscale {
    /// When it changes, and how fast.
    pub policy: AutoscaleSettings,
    /// How often it is decided, and over how long what is seen is the mean. Default 15 s.
    pub every: Duration,
    /// How old that is when it is seen. Default 15 s.
    pub lag: Duration,
    /// How long a new one takes until it answers. Default 30 s.
    pub start: Distribution,
    /// How long one that has to go still answers, from the moment at which it is taken off the list. Default 30 s.
    pub drain: Duration,
}

/// `[network]`: what lies between gateways and instances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Network {
    /// One way, within a zone. Default 0.25 ms.
    pub latency: Distribution,
    /// What comes on top between zones. Default 1 ms.
    pub cross_zone: Duration,
    /// How many messages are lost and sent again. Default none.
    pub loss: Ratio,
    /// Whether opening a connection takes the way there and back. Default true.
    pub handshake: bool,
}

/// `[gateways]`: what stands between callers and instances. They learn of health by themselves and of each other not at
/// all; the workers of one tell each other what they learn, as in a running node.
#[derive(Debug, Clone, PartialEq)]
pub struct Gateways {
    /// How many; callers are spread over them evenly. Default 1.
    pub count: u32,
    /// How many threads each has. Default 1.
    pub workers: u32,
    /// Where they stand, in turn. Default where the configuration says.
    pub zones: Vec<String>,
    /// How long it takes until each hears of a new instance, or of one that is gone. Default 1 s.
    pub discovery: Distribution,
}

/// `[[fault]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub length: Duration,
    /// What it is.
    pub kind: FaultKind,
    /// What it strikes. A surge strikes a service's workload.
    pub victims: Victims,
    /// Where it begins in the file.
    pub line: Option<u32>,
}

impl Fault {
    /// When it is over.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.at + self.length
    }
}

/// What a fault is.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// The process dies and what it worked on with it; connects are refused. At the end it starts anew.
    Crash,
    /// The process stands still: connections come about, nothing is read or answered, health neither. At the end it goes
    /// on where it stood.
    Hang,
    /// Work takes longer and holds its slot meanwhile.
    Slow(Slower, Hits),
    /// Answers come later, health's too, with no slot held.
    Limp(Duration, Hits),
    /// Work and health are answered with this status at once. Default 503.
    Errors(u16, Hits),
    /// Health passes and work is answered with this status. Default 500.
    Gray(u16, Hits),
    /// Health fails and work is well.
    Sick,
    /// The connection is reset when a request has been read.
    Reset(Hits),
    /// A request is read and never answered.
    Stall(Hits),
    /// What is answered is not HTTP.
    Garbage(Hits),
    /// The answer is 200 and false.
    Wrong(Hits),
    /// A crash and a start again and again: down for the first half of each period. Default 1 s.
    Flap(Duration),
    /// Nothing comes through.
    Partition {
        /// Which way.
        way: Way,
        /// Whether what was sent meanwhile arrives at the end of it. Default it is lost.
        delivered: bool,
    },
    /// A share of what is sent is lost, both ways, and is sent again by the connection after 200 ms, 400 ms and so on; what
    /// opens a connection after 1 s, 2 s and so on.
    Loss(Ratio),
    /// What is sent arrives later, both ways.
    Delay(Duration),
    /// So many times the load, above 0. Default 3.
    Surge(f64),
    /// What caches keep is gone.
    Cold,
    /// A zone is gone, with the instances and the gateways in it.
    Zone,
    /// The process needs more memory than there is: it is killed and starts again, and again. Default every 5 s.
    Memory(Duration),
    /// The process gets this share of its processor. Default 25 %.
    Cpu(Ratio),
    /// No descriptor is left: connections that stand go on, new ones are not accepted.
    Descriptors,
    /// Nothing more can be written.
    DiskFull,
    /// Each write takes this much longer.
    DiskSlow(Duration),
    /// A version that fails this share of its work is rolled out, one instance after the other, and at the end it is
    /// taken back in the same way.
    BadDeploy(Ratio),
    /// The certificate has expired: nobody who looks at it will connect anew.
    ExpiredCertificate,
}

impl FaultKind {
    /// Every kind's word.
    pub const WORDS: [&'static str; 25] = [
        "crash",
        "hang",
        "slow",
        "limp",
        "errors",
        "gray",
        "sick",
        "reset",
        "stall",
        "garbage",
        "wrong",
        "flap",
        "partition",
        "loss",
        "delay",
        "surge",
        "cold",
        "zone",
        "memory",
        "cpu",
        "descriptors",
        "disk_full",
        "disk_slow",
        "bad_deploy",
        "expired_certificate",
    ];

    /// Its word in a scenario and in a report.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Slow(..) => "slow",
            Self::Limp(..) => "limp",
            Self::Errors(..) => "errors",
            Self::Gray(..) => "gray",
            Self::Sick => "sick",
            Self::Reset(_) => "reset",
            Self::Stall(_) => "stall",
            Self::Garbage(_) => "garbage",
            Self::Wrong(_) => "wrong",
            Self::Flap(_) => "flap",
            Self::Partition { .. } => "partition",
            Self::Loss(_) => "loss",
            Self::Delay(_) => "delay",
            Self::Surge(_) => "surge",
            Self::Cold => "cold",
            Self::Zone => "zone",
            Self::Memory(_) => "memory",
            Self::Cpu(_) => "cpu",
            Self::Descriptors => "descriptors",
            Self::DiskFull => "disk_full",
            Self::DiskSlow(_) => "disk_slow",
            Self::BadDeploy(_) => "bad_deploy",
            Self::ExpiredCertificate => "expired_certificate",
        }
    }
}

/// How much slower work is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slower {
    /// So much longer. Default 200 ms.
    By(Duration),
    /// So many times as long, above 0.
    Times(f64),
}

/// Which of a victim's calls a fault hits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hits {
    /// How many: key `calls`, default all.
    pub share: Ratio,
    /// Of what: key `of`, default requests.
    pub of: HitsOf,
}

/// What a share is a share of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HitsOf {
    /// One request is hit and the next may not be.
    Requests,
    /// A connection has the fault as long as it lasts, or never.
    Connections,
}

/// Which way nothing comes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Neither.
    Both,
    /// Requests do not reach the instance.
    There,
    /// Answers do not come back.
    Back,
}

impl Way {
    /// All of them with their words.
    pub const ALL: [(&'static str, Self); 3] = [("both", Self::Both), ("there", Self::There), ("back", Self::Back)];
}

/// What a fault strikes.
#[derive(Debug, Clone, PartialEq)]
pub enum Victims {
    /// One instance: `target = "shop/0"`, counted from 0.
    One(String, u32),
    /// All of a service: `target = "shop"`. The default is the first workload's service.
    All(String),
    /// A share of a service's instances, at least one of them: `share = "25%"`.
    Share {
        /// Of which service.
        service: String,
        /// How many.
        share: Ratio,
        /// Which: `victims = "first"`, the default, or `"random"`.
        pick: Pick,
    },
    /// All that stands in a zone: `target = "zone:b"`.
    Zone(String),
}

/// Which instances a share takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The first ones.
    First,
    /// Whichever the scenario's luck says.
    Random,
}

/// A line of `[hold]`, and how it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct HoldSpec {
    /// Its key.
    pub key: &'static str,
    /// Its value as it was written.
    pub written: String,
    /// What it means.
    pub what: HoldWhat,
}

/// What must hold, over all workloads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HoldWhat {
    /// At least this share of the calls is good.
    Good(Ratio),
    /// At least this share of the calls is good in every second, faults or not.
    GoodEverySecond(Ratio),
    /// Half of the good answers come within this.
    P50(Duration),
    /// 99 % of the good answers come within this.
    P99(Duration),
    /// 99.9 % of the good answers come within this.
    P999(Duration),
    /// After the last fault, calls are as good again within this.
    Recovery(Duration),
    /// No more attempts than this for each call.
    Amplification(f64),
    /// No more POSTs than this are carried out twice.
    DuplicatedPosts(u64),
    /// No more of the instances' work than this is for nobody.
    Wasted(Ratio),
    /// The least loaded endpoint has at least this part of the most loaded one's attempts.
    Fairness(Ratio),
    /// The workload that fares worst has at least this part of the best one's share of good calls.
    WorkloadFairness(Ratio),
    /// Whether the system may stay down when the cause is gone.
    Metastable(bool),
}

/// A method's class, by its name in [`Workload::methods`].
#[must_use]
pub fn method_class(method: &str) -> MethodClass {
    MethodClass::of(method.as_bytes())
}

impl Default for Instances {
    fn default() -> Self {
        Self {
            service: None,
            count: None,
            concurrency: Limit::At(8),
            service_time: Distribution::Exponential(Duration::from_millis(10)),
            queue: Limit::At(400),
            discipline: Discipline::Fifo,
            drop_expired: false,
            abandoned: Abandoned::Done,
            slowdown: Ratio::ZERO,
            warm_up: None,
            cache: None,
            calls: Vec::new(),
            zones: Vec::new(),
            autoscale: None,
            line: None,
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Distribution::Fixed(Duration::from_micros(250)),
            cross_zone: Duration::from_millis(1),
            loss: Ratio::ZERO,
            handshake: true,
        }
    }
}

impl Default for Gateways {
    fn default() -> Self {
        Self { count: 1, workers: 1, zones: Vec::new(), discovery: Distribution::Fixed(Duration::from_secs(1)) }
    }
}
