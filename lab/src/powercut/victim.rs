//! A router that is interrupted in the middle of its work: the jobs, and the states that are
//! allowed afterwards.

use super::steps;
use crate::routers::{Config, Keeper, Reach};
use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The effect of a job on the stored configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Makes {
    New,
    Before,
    None,
    /// The configuration stays the same.
    Same,
}

/// A job during which the power is cut.
pub(super) struct Job {
    pub(super) name: &'static str,
    /// The command of the host tool, where FILE is a new configuration; empty for a start of the
    /// agent.
    pub(super) words: &'static [&'static str],
    pub(super) makes: Makes,
    /// Whether a new configuration is pending when the job starts.
    waits: bool,
    /// Whether the kernel refuses the new configuration at its end.
    refused: bool,
    /// How long the job continues after the host tool has ended.
    pub(super) beyond: Duration,
}

const JOB: Job = Job {
    name: "a push",
    words: &["push", "FILE"],
    makes: Makes::New,
    waits: false,
    refused: false,
    beyond: Duration::ZERO,
};

pub(super) const JOBS: [Job; 9] = [
    JOB,
    Job { name: "a start", words: &[], makes: Makes::Same, ..JOB },
    Job {
        name: "a push that is confirmed",
        words: &["push", "FILE", "--confirm-within", "60s"],
        ..JOB
    },
    Job { name: "confirm", words: &["confirm"], waits: true, ..JOB },
    Job { name: "revert", words: &["revert"], makes: Makes::Same, waits: true, ..JOB },
    Job {
        name: "a push that is never confirmed",
        words: &["push", "FILE", "--confirm-within", "4s", "--confirm-by-hand"],
        makes: Makes::Same,
        beyond: Duration::from_millis(5_000),
        ..JOB
    },
    Job { name: "a push that is refused", makes: Makes::Same, refused: true, ..JOB },
    Job { name: "rollback", words: &["rollback", "wg0"], makes: Makes::Before, ..JOB },
    Job { name: "remove", words: &["remove", "wg0"], makes: Makes::None, ..JOB },
];

/// A route that something else on the router has.
const TAKEN: &str = "fdff:ffff::/64";
/// Number of peers.
const PEERS: u32 = 40;

/// The results of the cuts during one kind of job.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Count {
    pub(super) tried: u32,
    pub(super) old: u32,
    pub(super) new: u32,
    /// Cuts that left a new configuration after the operator had been told of success.
    pub(super) told: u32,
    pub(super) lost: u32,
}

/// The calls of a job by step: the name of the call, and its count among calls of that name.
pub(super) type Targets = BTreeMap<&'static str, Vec<(String, usize)>>;

/// A router under test, and its stored configuration; `None` if its interface was removed.
pub(super) struct Victim<'t> {
    pub(super) keeper: Keeper<'t>,
    pub(super) rng: Rng,
    stored: Vec<Option<Config>>,
    number: u64,
}

impl<'t> Victim<'t> {
    /// A router with one stored configuration.
    pub(super) fn new(keeper: Keeper<'t>, seed: u64) -> Result<Self> {
        let mut victim = Self { keeper, rng: Rng::with_seed(seed), stored: Vec::new(), number: 0 };
        victim.begin()?;
        Ok(victim)
    }

    /// Brings the router to one stored configuration, whatever it had.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.keeper.fresh()?;
        self.stored = vec![None];
        self.number = 0;
        let config = self.config();
        self.keeper.store(&config, 1)?;
        self.stored.push(Some(config));
        self.number = 1;
        Ok(())
    }

    fn config(&mut self) -> Config {
        // A change leaves an endpoint that is not in the file unchanged, so every peer has one.
        let mut config = Config::random(&mut self.rng, PEERS, 3).with_endpoints();
        // Addresses, routes and rules differ from one configuration to the next.
        let n = self.rng.u64(..200);
        config.addresses.insert(format!("10.78.{n}.1/24"));
        if let Some(peer) = config.peers.values_mut().next() {
            peer.allowed_ips.insert(format!("10.79.{n}.0/24"));
            if n.is_multiple_of(2) {
                peer.allowed_ips.insert("::/0".to_owned());
            }
        }
        config
    }

    /// The configuration after the job has succeeded.
    pub(super) fn outcome(&mut self, job: &Job, new: &Config) -> Option<Config> {
        let newest = self.stored.len() - 1;
        match job.makes {
            Makes::New => Some(new.clone()),
            Makes::Before => self.stored[newest - 1].clone(),
            Makes::None => None,
            Makes::Same => self.stored[newest].clone(),
        }
    }

    /// Brings the router to the start of the job. Returns the new configuration, and writes its
    /// file.
    pub(super) fn ready(&mut self, job: &Job) -> Result<Config> {
        let mut new = self.config();
        if job.refused {
            let last = new.peers.values_mut().next_back().context("a peer")?;
            last.allowed_ips.insert(TAKEN.to_owned());
            self.keeper.sh(&format!("ip -6 route replace {TAKEN} dev eth0 metric 1024"))?;
        }
        fs::write(self.file(), new.text())?;
        if job.waits {
            let words = ["--confirm-within", "600s", "--confirm-by-hand"];
            self.keeper.push("wg0", &new.text(), &words)?.ok()?;
        }
        Ok(new)
    }

    fn file(&self) -> std::path::PathBuf {
        self.keeper.router.folder.join("wg0.conf")
    }

    /// Starts the job: the host tool; `None` if the job is a start of the agent.
    pub(super) fn start(&self, job: &Job) -> Result<Option<Child>> {
        let file = self.file();
        let file = file.to_str().context("a path that is no text")?;
        let words: Vec<&str> =
            job.words.iter().map(|word| if *word == "FILE" { file } else { word }).collect();
        if words.is_empty() {
            return Ok(None);
        }
        let mut command = self.keeper.router.postwire_command(&Reach::Udp, &words);
        Ok(Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    /// Cuts the power in the middle, and checks the state.
    pub(super) fn cut(
        &mut self,
        job: &Job,
        after: Option<Duration>,
        count: &mut Count,
    ) -> Result<&'static str> {
        let new = self.ready(job)?;
        let expected = self.outcome(job, &new);
        if job.words.is_empty() {
            self.keeper.cut_power()?;
        }
        let tool = self.start(job)?;
        let told = match tool {
            None => self.cut_start(after)?,
            Some(tool) => self.cut_tool(tool, after)? && job.makes != Makes::Same,
        };
        self.keeper.reboot()?;
        self.left(job, told, expected, count)
    }

    /// The kind of the job where the steps' names depend on it.
    fn kind(job: &Job) -> steps::Job {
        match job.words.first() {
            None => steps::Job::Start,
            Some(&"confirm") => steps::Job::Confirm,
            Some(&"revert") => steps::Job::Back,
            Some(&"push") if job.beyond > Duration::ZERO => steps::Job::Back,
            Some(&"push") => steps::Job::Push,
            Some(_) => steps::Job::Other,
        }
    }

    /// Runs the job without a cut under strace. Returns the calls of each of its steps.
    pub(super) fn targets(&mut self, job: &Job) -> Result<Targets> {
        let new = self.ready(job)?;
        let expected = self.outcome(job, &new);
        if job.words.is_empty() {
            self.keeper.cut_power()?;
            self.keeper.router.start_traced(&steps::options(""))?;
            self.keeper.router.is_ready(40)?;
        } else {
            self.keeper.router.trace_with(&steps::options(""))?;
            let mut tool = self.start(job)?.context("the host tool")?;
            // Under strace the reply to a change may come later than the host tool waits.
            let (code, late) = (tool.wait()?.code(), Some(3));
            ensure!(
                code == Some(i32::from(job.refused))
                    || (job.beyond > Duration::ZERO && code == late),
                "the host tool ended with {code:?}"
            );
            thread::sleep(job.beyond);
        }
        let lines = self.keeper.router.traced()?;
        let targets = steps::targets(&lines, Self::kind(job));
        let number = self.number + u64::from(job.makes != Makes::Same);
        // A boot would take ten times as long, and each cut has one.
        self.keeper.restart()?;
        ensure!(self.found()? == number, "it has another number than {number}");
        self.note(number, expected);
        self.sees()?;
        Ok(targets)
    }

    /// Cuts the power while the agent stands still after its `nth` call of a name, and checks the
    /// state. Returns the step of the agent, and the state that was found.
    pub(super) fn cut_at(
        &mut self,
        job: &Job,
        (call, nth): (&str, usize),
        count: &mut Count,
    ) -> Result<(&'static str, &'static str)> {
        let new = self.ready(job)?;
        let expected = self.outcome(job, &new);
        let options = steps::options(&steps::stop_after(call, nth));
        let mut tool = if job.words.is_empty() {
            self.keeper.cut_power()?;
            self.keeper.router.start_traced(&options)?;
            None
        } else {
            self.keeper.router.trace_with(&options)?;
            self.start(job)?
        };
        let mut over = None;
        let lines = loop {
            let lines = self.keeper.router.trace_so_far()?;
            if lines.iter().any(|line| line.contains(steps::STOPPED)) {
                break lines;
            }
            // The agent made fewer calls this time: the cut comes after the end.
            let done = match &mut tool {
                Some(tool) => tool.try_wait()?.is_some(),
                None => self.keeper.router.is_ready(1).is_ok(),
            };
            if done && over.get_or_insert_with(Instant::now).elapsed() > job.beyond * 2 {
                break lines;
            }
            thread::sleep(Duration::from_millis(50));
        };
        self.keeper.router.vm.kill();
        let told = match tool {
            Some(mut tool) => said_yes(&mut tool)? && job.makes != Makes::Same,
            None => false,
        };
        let step = steps::step(&lines, Self::kind(job));
        self.keeper.reboot()?;
        Ok((step, self.left(job, told, expected, count)?))
    }

    /// Fails unless the state is one of the two, and the new one if the operator was told so.
    pub(super) fn left(
        &mut self,
        job: &Job,
        told: bool,
        expected: Option<Config>,
        count: &mut Count,
    ) -> Result<&'static str> {
        let number = self.found()?;
        let is_new = number == self.number + 1;
        ensure!(is_new || number == self.number, "it was number {} and is {number}", self.number);
        ensure!(is_new || !told, "the operator was told that it is stored, and it is not");
        ensure!(!is_new || job.makes != Makes::Same, "an unconfirmed change is stored");
        self.note(number, expected);
        self.sees()?;
        count.new += u32::from(is_new);
        count.old += u32::from(!is_new);
        count.told += u32::from(told);
        Ok(match (is_new, told) {
            (true, true) => "the new one, as reported",
            (true, false) => "the new one, which was not reported",
            (false, _) => "the old one",
        })
    }

    /// Cuts the power while the agent starts.
    fn cut_start(&self, after: Option<Duration>) -> Result<bool> {
        let vm = &self.keeper.router.vm;
        thread::scope(|scope| {
            // The cut may interrupt this.
            let starting = scope.spawn(|| self.keeper.start());
            let begun = Instant::now();
            while after.map_or(!starting.is_finished(), |after| begun.elapsed() < after) {
                thread::sleep(Duration::from_millis(1));
            }
            vm.kill();
        });
        Ok(false)
    }

    /// Cuts the power while the host tool waits, or as soon as it is done. Returns `true` if the
    /// tool reported success.
    fn cut_tool(&self, tool: Child, after: Option<Duration>) -> Result<bool> {
        cut_short(tool, after, || {
            self.keeper.router.vm.kill();
            Ok(())
        })
    }

    /// The number of the newest configuration, from a router that reports no trouble.
    fn found(&self) -> Result<u64> {
        let status = self.keeper.ask(&["status"])?.ok()?;
        ensure!(status.text("/result/trouble").is_empty(), "{}", status.json);
        ensure!(status.is("/result/pending", serde_json::Value::Null), "{}", status.json);
        ensure!(
            !status.is("/result/stored/0/agrees", false),
            "the kernel differs: {}",
            status.json
        );
        Ok(status.number("/result/stored/0/number").unwrap_or(0))
    }

    fn note(&mut self, number: u64, expected: Option<Config>) {
        if number != self.number {
            self.stored.push(expected);
            self.number = number;
        }
    }

    /// Fails unless the kernel has the stored configuration.
    fn sees(&self) -> Result<()> {
        match self.stored.last().and_then(Option::as_ref) {
            Some(config) => self.keeper.router.sees(config),
            None => {
                let interfaces =
                    self.keeper.sh("wg show interfaces; ip -6 route | grep wg0; true")?;
                ensure!(interfaces.is_empty(), "something is left: {interfaces}");
                Ok(())
            }
        }
    }
}

/// Calls `cut` while the host tool waits, or as soon as it is done. Returns `true` if the tool
/// reported success.
pub(super) fn cut_short(
    mut tool: Child,
    after: Option<Duration>,
    cut: impl FnOnce() -> Result<()>,
) -> Result<bool> {
    let begun = Instant::now();
    loop {
        let over = tool.try_wait()?.is_some();
        if after.map_or(over, |after| begun.elapsed() >= after) {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    cut()?;
    said_yes(&mut tool)
}

/// Whether the host tool reports success although its router sends nothing more.
fn said_yes(tool: &mut Child) -> Result<bool> {
    // The tool still processes packets that had arrived by then.
    for _ in 0..20 {
        if let Some(status) = tool.try_wait()? {
            return Ok(status.success());
        }
        thread::sleep(Duration::from_millis(10));
    }
    tool.kill()?;
    tool.wait()?;
    Ok(false)
}
