//! What the policy of a worker allows, and what a program is given.

use phalanx::{CallError, Reason, TaskError};
use phalanx_drivers::process::{
    Exit, Finished, Follow, InForce, Limits, Means, Process, ProcessError, Program, Run, Said,
};
use tests::{Ask, Probe, soon};

use super::stage::{FEW, Stage, WORKER, policy, shell, stage};

async fn finished(program: &Program) -> Result<Finished, TaskError<ProcessError>> {
    soon("the task ends", program.finished()).await
}

async fn lines(run: Run) -> Vec<String> {
    let program = stage().run(WORKER, run).await;
    finished(&program).await.unwrap().last_lines
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_that_is_not_allowed() {
    for name in ["ls", "/bin/sh", "/usr/bin/env", "../bin/sh", "sh -c true"] {
        let program = stage().run(WORKER, Run::new(name)).await;
        let refused = Err(TaskError::Failed(ProcessError::ProgramNotAllowed(name.into())));
        assert_eq!(finished(&program).await, refused);
        assert!(stage().listener.said(&program).is_empty());
    }
    for folder in ["/", "/etc", "relative", "", "/absent"] {
        let program = stage().run(WORKER, Run::new("pwd").folder(folder)).await;
        let refused = Err(TaskError::Failed(ProcessError::FolderNotAllowed(folder.into())));
        assert_eq!(finished(&program).await, refused);
    }
    let program = stage().run(WORKER, Run::new("sh").argument("a\0b")).await;
    let refused = finished(&program).await;
    assert!(matches!(refused, Err(TaskError::Failed(ProcessError::Invalid(_)))), "{refused:?}");
    let log = program.follow(0, std::time::Duration::ZERO).await;
    assert_eq!(log, Err(CallError::Failed(ProcessError::NoSuchLog)));

    // A worker whose program has not registered the class runs nothing at all.
    let control = stage().cluster.controls().next().unwrap();
    let nobody = control.worker(control.id().clone());
    nobody.request::<Probe>(Ask::Echo(stage().cluster.ledger.number(), String::new())).await.unwrap();
    let refused = nobody.start::<Process>(Run::new("sh")).await.map(|_| ()).unwrap_err();
    assert_eq!(refused, CallError::NotExecuted(Reason::NoSuchClass));
    let follow = Follow { task: program.task().id().clone(), from: 0, bytes_max: 1, wait_ms: 0 };
    let refused = nobody.request::<Process>(follow).await.unwrap_err();
    assert_eq!(refused, CallError::NotExecuted(Reason::NoSuchClass));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_what_is_given_and_nothing_else() {
    assert!(lines(Run::new("env")).await.is_empty());
    let run = Run::new("env").environment("B", "two words").environment("A", "");
    assert_eq!(lines(run).await, ["A=", "B=two words"]);
    let words = ["$HOME", "*", "a b", "", "; exit 3", "-n"];
    let script = "for word; do echo \"<$word>\"; done; echo \"$0\"";
    let expected: Vec<String> = words.iter().map(|word| format!("<{word}>")).chain(["sh".into()]).collect();
    assert_eq!(lines(Run::new("sh").arguments(["-c", script, "sh"]).arguments(words)).await, expected);
    assert_eq!(lines(Run::new("/bin/echo").arguments(["*", "$PATH"])).await, ["* $PATH"]);

    let root = stage().folder.join("general/root");
    let inner = root.join("inner");
    std::fs::create_dir_all(&inner).unwrap();
    let real = |path: &std::path::Path| std::fs::canonicalize(path).unwrap().display().to_string();
    assert_eq!(lines(Run::new("pwd")).await, [real(&root)]);
    assert_eq!(lines(Run::new("pwd").folder(inner.display().to_string())).await, [real(&inner)]);
    // Nothing that the worker has opened is open in it; what whoever started these tests left open for all is.
    let open = lines(shell("cd /proc/self/fd; echo *").folder(real(&root))).await;
    let open: Vec<&str> = open[0].split(' ').filter(|number| !is_left_open(number)).collect();
    assert!(open.iter().all(|number| ["0", "1", "2", "3"].contains(number)), "{open:?}");
}

/// Whether something is open under this number in this process that is meant for other programs too.
fn is_left_open(number: &str) -> bool {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.is_some_and(|flags| {
        u32::from_str_radix(flags.trim(), 8).is_ok_and(|flags| flags & CLOSE_ON_EXEC == 0)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_in_force_and_told() {
    let limits = Limits {
        memory_bytes: Some(512 << 20),
        cpu_seconds: Some(7),
        open_files: Some(33),
        cpu_percent: Some(50),
        processes: None,
    };
    let run = shell("ulimit -v; ulimit -t; ulimit -n; ulimit -c").limits(limits);
    let program = stage().run(WORKER, run).await;
    assert_eq!(finished(&program).await.unwrap().last_lines, ["524288", "7", "33", "0"]);
    let said = stage().listener.wait(&program, "it starts", |said| !said.is_empty()).await;
    let Said::Started { in_force, .. } = &said[0] else { panic!("{said:?}") };
    let expected = InForce {
        limits,
        memory: Means::Rlimit,
        processes: Means::Nothing,
        cpu_percent: Means::Nothing,
        others: Means::Rlimit,
    };
    assert_eq!(*in_force, expected, "this worker makes no control groups");
    let limits = Limits { cpu_seconds: Some(1), ..Limits::default() };
    let program = stage().run(WORKER, shell("while :; do :; done").limits(limits)).await;
    assert_eq!(finished(&program).await.unwrap().exit, Exit::Signal(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_programs_run_at_one_time() {
    let first = stage().run(FEW, shell("read x").open_stdin()).await;
    let second = stage().run(FEW, shell("read x").open_stdin()).await;
    for program in [&first, &second] {
        stage().listener.wait(program, "it starts", |said| !said.is_empty()).await;
    }
    let third = stage().shell(FEW, "exit 0").await;
    assert_eq!(finished(&third).await, Err(TaskError::Failed(ProcessError::TooMany(2))));
    first.close_stdin().await.unwrap();
    finished(&first).await.unwrap();
    let third = stage().shell(FEW, "exit 0").await;
    assert_eq!(finished(&third).await.unwrap().exit, Exit::Code(0));
    second.close_stdin().await.unwrap();
    finished(&second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("not-a-program");
    std::fs::write(&script, "words").unwrap();
    let name = script.display().to_string();
    let policy = policy(folder.path()).allow_program(&name).allow_program("no-such-program");
    let stage = Stage::start("start-c", folder.path().to_owned(), [("start-w", policy)]).await;
    for (name, word) in [(name.as_str(), "denied"), ("no-such-program", "no-such-program")] {
        let program = stage.run("start-w", Run::new(name)).await;
        match finished(&program).await {
            Err(TaskError::Failed(ProcessError::CannotStart(why))) if why.contains(word) => {}
            other => panic!("{other:?}"),
        }
    }
    stage.cluster.shutdown().await;
}

/// Says loudly that a part of a test needs root, unless it is there.
fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let is_root = status.lines().any(|line| line.starts_with("Uid:\t0\t0"));
    if !is_root {
        eprintln!("LEFT OUT: programs as another user and control groups, which need root");
    }
    is_root
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_runs_programs_as_another_user_and_in_control_groups() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let group = format!("phalanx-scenario-{}", std::process::id());
    let nobody = policy(&folder.path().join("nobody")).run_as(65_534, 65_534);
    let grouped = policy(&folder.path().join("grouped")).cgroup(&group);
    // A folder that another user may enter.
    std::os::unix::fs::chown(folder.path().join("nobody/root"), Some(65_534), Some(65_534)).unwrap();
    set_open(folder.path());
    let workers = [("user-w", nobody), ("group-w", grouped)];
    let stage = Stage::start("root-c", folder.path().to_owned(), workers).await;

    let program = stage.shell("user-w", "id -u; id -g; id -G").await;
    assert_eq!(finished(&program).await.unwrap().last_lines, ["65534"; 3]);

    // Only the number of processes: memory groups are for whoever made this machine.
    let limits = Limits { processes: Some(3), ..Limits::default() };
    let script = "for i in 1 2 3 4 5 6; do sleep 5 & done; echo all";
    for (worker, expected) in [("user-w", Means::Rlimit), ("group-w", Means::Cgroup)] {
        let program = stage.run(worker, shell(script).limits(limits)).await;
        let end = finished(&program).await.unwrap();
        let means = means(&stage, &program).await.processes;
        if means == Means::Nothing && expected == Means::Cgroup {
            eprintln!("LEFT OUT: control groups, which this machine does not let root make");
            continue;
        }
        assert_eq!(means, expected);
        assert!(
            !end.last_lines.contains(&"all".to_owned()),
            "a shell gives up where it cannot fork: {end:?}"
        );
    }
    stage.cluster.shutdown().await;
    for hierarchy in ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"] {
        let parent = std::path::Path::new(hierarchy).join(&group);
        if parent.exists() {
            // Fails unless the groups of the tasks are gone.
            std::fs::remove_dir(parent).unwrap();
        }
    }
}

fn set_open(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn means(stage: &Stage, program: &Program) -> InForce {
    let said = stage.listener.wait(program, "it starts", |said| !said.is_empty()).await;
    let Said::Started { in_force, .. } = &said[0] else { panic!("{said:?}") };
    *in_force
}
