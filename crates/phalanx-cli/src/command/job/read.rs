//! The file of a job: TOML, in which every mistake is told with its key.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

#[cfg(any(feature = "process", feature = "docker"))]
use phalanx::Jobs;
use phalanx::{
    Count, JobName, JobSpec, LostPolicy, Preferences, RestartPolicy, RestartWhen, SpecError, UpdatePolicy,
};
#[cfg(feature = "docker")]
use phalanx_drivers::docker::Docker;
#[cfg(feature = "process")]
use phalanx_drivers::process::Process;
use phalanx_placement::LabelPath;

use super::super::choosing::Choosing;
use super::section::Section;
use crate::exit::Failure;

/// The largest file: a job of more is refused in any case.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Reads the job of a file, or of the standard input.
pub(super) fn read(path: &Path) -> Result<JobSpec, Failure> {
    let place = if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() };
    let wrong = |words: String| Failure::usage(format!("{place}: {words}"));
    let text = text(path).map_err(|error| wrong(error.to_string()))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        Failure::usage(format!("{place}:{line}: {}", error.message()))
    })?;
    spec(table).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(|mistake| format!("{place}: {mistake}")).collect();
        Failure::usage(lines.join("\n"))
    })
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // One byte more than fits, so that what does not fit is refused and not cut.
    let read = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?,
        false => File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?,
    };
    match read as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other(format!("more than {FILE_BYTES_MAX} bytes are no job"))),
        false => Ok(text),
    }
}

/// The job that a table says, or everything that is wrong with it.
fn spec(table: toml::Table) -> Result<JobSpec, Vec<String>> {
    let mut section = Section::new(table);
    let name = section.one::<JobName>("name");
    if name.is_none() {
        missing(&mut section, "name", "say what the job is called");
    }
    let count = section.one::<Instances>("count").map(|count| count.0);
    if count.is_none() {
        missing(&mut section, "count", "say how many tasks there are to be, or \"per-node\"");
    }
    let work = work(&mut section);
    let placing = Choosing::read(&mut section);
    let restart = restart(&mut section);
    let on_lost = on_lost(&mut section);
    let update = update(&mut section);
    let stop_grace = duration(&mut section, "stop-grace", JobSpec::STOP_GRACE);
    let stopped = section.one("stopped").unwrap_or(false);
    let preferences = preferences(&mut section, &placing);
    let mistakes = section.end();
    let (Some(name), Some(count), Some(work), Some(preferences), true) =
        (name, count, work, preferences, mistakes.is_empty())
    else {
        return Err(mistakes);
    };
    let requirements = placing.requirements(None);
    let told = |error: SpecError| vec![error.to_string()];
    let usual = work(name, count).map_err(told)?;
    let spec = JobSpec { requirements, preferences, restart, on_lost, update, stop_grace, stopped, ..usual };
    spec.check().map_err(told)?;
    Ok(spec)
}

/// Which worker is better than another.
fn preferences(section: &mut Section, placing: &Choosing) -> Option<Preferences> {
    let mut preferences = match placing.preferences() {
        Ok(preferences) => preferences,
        Err(error) => {
            section.wrong("prefer", error);
            return None;
        }
    };
    for Over { label, tasks_max } in section.all::<Over>("spread") {
        match preferences.spread_over(label, tasks_max) {
            Ok(more) => preferences = more,
            Err(error) => {
                section.wrong("spread", error);
                return None;
            }
        }
    }
    Some(preferences)
}

/// A label to spread over, and how many may be at one value of it: `zone`, or `zone:2`.
struct Over {
    label: LabelPath,
    tasks_max: Option<u32>,
}

impl FromStr for Over {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (label, tasks_max) = match text.split_once(':') {
            None => (text, None),
            Some((label, most)) => {
                let most =
                    most.parse().map_err(|_| "behind the `:` is how many tasks may be at one value")?;
                (label, Some(most))
            }
        };
        Ok(Self { label: label.parse().map_err(|error| format!("{error}"))?, tasks_max })
    }
}

/// Notes that a key is not there, unless something else was wrong with it.
fn missing(section: &mut Section, key: &str, words: &str) {
    if !section.is_told(key) {
        section.wrong(key, format!("it is not given: {words}"));
    }
}

/// How many tasks there are to be.
struct Instances(Count);

impl FromStr for Instances {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "per-node" => Ok(Self(Count::PerNode)),
            _ => {
                let count = text.parse().map_err(|_| "it is a number, or \"per-node\"")?;
                Ok(Self(Count::Exactly(count)))
            }
        }
    }
}

/// Makes a job with the usual policies of what each task does.
type Work = Box<dyn FnOnce(JobName, Count) -> Result<JobSpec, SpecError>>;

/// What each task does.
fn work(section: &mut Section) -> Option<Work> {
    match (process(section), docker(section)) {
        (Some(work), None) | (None, Some(work)) => Some(work),
        (Some(_), Some(_)) => {
            section.wrong("docker", "give either this or [process]");
            None
        }
        (None, None) => {
            if !section.is_told("docker") {
                missing(section, "process", "say in a table [process] or [docker] what each task runs");
            }
            None
        }
    }
}

#[cfg(feature = "process")]
fn process(section: &mut Section) -> Option<Work> {
    let run = section.inside("process", super::process::run)?;
    Some(Box::new(move |name, count| Jobs::spec::<Process>(name, &run, count)))
}

#[cfg(not(feature = "process"))]
fn process(section: &mut Section) -> Option<Work> {
    not_built(section, "process")
}

#[cfg(feature = "docker")]
fn docker(section: &mut Section) -> Option<Work> {
    let run = section.inside("docker", super::container::run)?;
    let run = phalanx_drivers::docker::Work::Run(Box::new(run));
    Some(Box::new(move |name, count| Jobs::spec::<Docker>(name, &run, count)))
}

#[cfg(not(feature = "docker"))]
fn docker(section: &mut Section) -> Option<Work> {
    not_built(section, "docker")
}

/// A table that is there in vain.
#[cfg(not(all(feature = "process", feature = "docker")))]
fn not_built(section: &mut Section, name: &'static str) -> Option<Work> {
    section.take(name)?;
    section.wrong(name, format!("this program was built without it: build it with `--features {name}`"));
    None
}

/// When an instance is started again.
struct When(RestartWhen);

impl FromStr for When {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self(RestartWhen::Never)),
            "on-failure" => Ok(Self(RestartWhen::OnFailure)),
            "always" => Ok(Self(RestartWhen::Always)),
            _ => Err("it is \"never\", \"on-failure\" or \"always\""),
        }
    }
}

fn duration(section: &mut Section, key: &'static str, instead: Duration) -> Duration {
    section.one::<humantime::Duration>(key).map_or(instead, Duration::from)
}

fn restart(section: &mut Section) -> RestartPolicy {
    let usual = RestartPolicy::default();
    let read = |section: &mut Section| RestartPolicy {
        when: section.one::<When>("when").map_or(usual.when, |when| when.0),
        pause_initial: duration(section, "pause-initial", usual.pause_initial),
        pause_max: duration(section, "pause-max", usual.pause_max),
        restarts_max: section.one("restarts-max"),
        window: duration(section, "window", usual.window),
    };
    section.inside("restart", read).unwrap_or_default()
}

fn on_lost(section: &mut Section) -> LostPolicy {
    let read = |section: &mut Section| {
        let mut after = |key| section.one::<humantime::Duration>(key).map(Duration::from);
        let (stop, replace) = (after("stop-after"), after("replace-after"));
        match (stop, replace) {
            (Some(after), None) => LostPolicy::StopAfter(after),
            (None, Some(lost_after)) => LostPolicy::Replace { lost_after },
            (None, None) => LostPolicy::Keep,
            (Some(_), Some(_)) => {
                section.wrong("stop-after", "give either this or replace-after");
                LostPolicy::Keep
            }
        }
    };
    section.inside("on-lost", read).unwrap_or_default()
}

fn update(section: &mut Section) -> UpdatePolicy {
    let usual = UpdatePolicy::default();
    let read = |section: &mut Section| UpdatePolicy {
        max_parallel: section.one("max-parallel").unwrap_or(usual.max_parallel),
        healthy_after: duration(section, "healthy-after", usual.healthy_after),
        progress_deadline: duration(section, "progress-deadline", usual.progress_deadline),
    };
    section.inside("update", read).unwrap_or_default()
}

#[cfg(all(test, feature = "process"))]
mod tests {
    use std::collections::BTreeMap;

    use phalanx::{Metric, Ranking, Requirements};
    use phalanx_drivers::process::{Limits, Run};

    use super::*;

    fn read(text: &str) -> Result<JobSpec, Vec<String>> {
        spec(toml::from_str(text).expect("the tests write TOML"))
    }

    const LEAST: &str = "name = \"web\"\ncount = 3\n[process]\nprogram = \"sh\"\n";

    #[test]
    fn a_name_a_count_and_a_program_are_enough() {
        let spec = read(LEAST).unwrap();
        let usual =
            JobSpec::new("web".parse().unwrap(), spec.class.clone(), spec.body.clone(), Count::Exactly(3));
        assert_eq!(spec, usual);
        assert_eq!(spec.class.name, "process");
        let everywhere = read(&LEAST.replace("= 3", "= \"per-node\"")).unwrap();
        assert_eq!(everywhere.count, Count::PerNode);
    }

    #[test]
    fn everything_is_read() {
        let spec = read(
            r#"
            name = "shop/web"
            count = 2
            where = "gpu && !spot"
            prefer = ["zone=a:50"]
            spread = ["zone", "rack:1"]
            rank = "pack"
            by = "cpu"
            tasks-max = 8
            used-max = 90
            stop-grace = "5s"
            stopped = true
            restart = { when = "always", pause-initial = "2s", pause-max = "1m", restarts-max = 5, window = "3m" }
            on-lost = { replace-after = "30s" }
            update = { max-parallel = 2, healthy-after = "1s", progress-deadline = "2m" }
            [process]
            program = "sh"
            arguments = ["-c", "exit 1"]
            environment = { PORT = 80, NAME = "a" }
            folder = "/srv"
            keep = true
            memory = "1GiB"
            processes = 9
            cpu-percent = 50
            cpu-seconds = 7
            open-files = 64
            "#,
        )
        .unwrap();
        let run =
            Run::new("sh").arguments(["-c", "exit 1"]).environment("PORT", "80").environment("NAME", "a");
        let limits = Limits {
            memory_bytes: Some(1 << 30),
            processes: Some(9),
            cpu_percent: Some(50),
            cpu_seconds: Some(7),
            open_files: Some(64),
        };
        let run = run.folder("/srv").keep().limits(limits).must_succeed().without_output_events();
        let seconds = Duration::from_secs;
        let usual = Jobs::spec::<Process>("shop/web".parse().unwrap(), &run, Count::Exactly(2)).unwrap();
        let preferences = Preferences::new(Ranking::Pack(Metric::Cpu)).prefer("zone=a".parse().unwrap(), 50);
        let preferences = preferences.unwrap().spread_over("zone".parse().unwrap(), None).unwrap();
        let expected = JobSpec {
            requirements: Requirements {
                selector: "gpu && !spot".parse().unwrap(),
                tasks_max: Some(8),
                used_max_percent: BTreeMap::from([(Metric::Cpu, 90)]),
                ..Requirements::default()
            },
            preferences: preferences.spread_over("rack".parse().unwrap(), Some(1)).unwrap(),
            restart: RestartPolicy {
                when: RestartWhen::Always,
                pause_initial: seconds(2),
                pause_max: seconds(60),
                restarts_max: Some(5),
                window: seconds(180),
            },
            on_lost: LostPolicy::Replace { lost_after: seconds(30) },
            update: UpdatePolicy {
                max_parallel: 2,
                healthy_after: seconds(1),
                progress_deadline: seconds(120),
            },
            stop_grace: seconds(5),
            stopped: true,
            ..usual
        };
        assert_eq!(spec, expected);
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let told = read(
            r#"
            name = "a b"
            count = "all"
            where = "("
            prefer = ["zone=a"]
            spread = ["zone:many"]
            rank = "best"
            by = "luck"
            tasks-max = -1
            used-max = 101
            stop-grace = "soon"
            stopped = "yes"
            on-lost = { stop-after = "1m", replace-after = "1m" }
            update = 1
            cuont = 3
            [restart]
            when = "sometimes"
            pause = "1s"
            [process]
            program = ["sh"]
            arguments = [["a"]]
            environment = "A=b"
            memory = "much"
            "#,
        )
        .unwrap_err();
        insta::assert_snapshot!(told.join("\n"));
        let least = read("").unwrap_err();
        assert_eq!(least.len(), 3, "{least:?}");
        assert!(least.iter().all(|mistake| mistake.contains("it is not given")), "{least:?}");
    }

    #[test]
    fn the_sample_of_the_front_page_is_a_job() {
        let page = include_str!("../../../README.md");
        let sample = page.split("```toml\n").find(|part| part.starts_with("name = ")).unwrap();
        let spec = read(sample.split("```").next().unwrap()).unwrap();
        assert_eq!((spec.name.as_str(), spec.count), ("shop/web", Count::Exactly(3)));
        assert_eq!(spec.restart.when, RestartWhen::OnFailure);
    }

    #[cfg(feature = "docker")]
    #[test]
    fn containers_are_jobs_too() {
        use phalanx_drivers::docker::{Limits, MountSource, Pull, Run, Work};

        let least = "name = \"web\"\ncount = 1\n[docker]\nimage = \"app:3\"\n";
        let spec_of = |run: &Run| {
            let work = Work::Run(Box::new(run.clone()));
            Jobs::spec::<Docker>("web".parse().unwrap(), &work, Count::Exactly(1)).unwrap()
        };
        let usual = Run::new("app:3").must_succeed().without_output_events();
        assert_eq!(read(least).unwrap(), spec_of(&usual));
        let all = least.to_owned()
            + r#"
            pull = "always"
            entrypoint = "serve"
            command = ["--port", "80"]
            environment = { MODE = "fast" }
            folder = "/work"
            user = "1000:1000"
            network = "bridge"
            ports = ["8080:80"]
            mounts = ["data:/data:ro", "memory=1MiB:/tmp"]
            read-only = true
            init = true
            privileged = true
            memory = "1GiB"
            processes = 9
            cpu-percent = 50
            "#;
        let limits = Limits { memory_bytes: Some(1 << 30), cpu_percent: Some(50), processes: Some(9) };
        let run = usual.pull(Pull::Always).entrypoint(["serve"]).command(["--port", "80"]);
        let run = run.environment("MODE", "fast").folder("/work").user("1000:1000").network("bridge");
        let run = run.port(80, 8080).mount_read_only(MountSource::Volume("data".into()), "/data");
        let run =
            run.mount(MountSource::Memory(1 << 20), "/tmp").read_only().init().privileged().limits(limits);
        assert_eq!(read(&all).unwrap(), spec_of(&run));
        let wrong = read("name = \"web\"\ncount = 1\n[docker]\nports = [80]\nkeep = true\n").unwrap_err();
        assert!(
            wrong.iter().any(|mistake| mistake.starts_with("docker.image: it is not given")),
            "{wrong:?}"
        );
        assert!(
            wrong.iter().any(|mistake| mistake.starts_with("docker.ports: \"80\": no port")),
            "{wrong:?}"
        );
        assert!(
            wrong.iter().any(|mistake| mistake.starts_with("docker.keep: there is no such key")),
            "{wrong:?}"
        );
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        let both = read(&(LEAST.to_owned() + "[docker]\nimage = \"app\"\n")).unwrap_err();
        assert_eq!(both, ["docker: give either this or [process]"]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let parallel =
            read(&LEAST.replace("[process]", "update = { max-parallel = 0 }\n[process]")).unwrap_err();
        assert!(parallel[0].contains("0 instances at a time"), "{parallel:?}");
        let large = LEAST.to_owned() + &format!("arguments = [\"{}\"]\n", "x".repeat(40 << 10));
        assert!(read(&large).unwrap_err()[0].contains("is longer than"));
    }
}
