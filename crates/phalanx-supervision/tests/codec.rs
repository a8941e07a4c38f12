//! What is written down is read again, within its caps, and nothing that is read makes a supervisor panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{World, class, id, spec};
use phalanx_base::Generation;
use phalanx_placement::{Metric, Ranking};
use phalanx_supervision::{
    Attempt, Count, EndedAttempt, InstanceName, InstanceRecord, InstanceState, JobSpec, LostPolicy, Place,
    TaskName,
};
use proptest::prelude::*;

fn state() -> impl Strategy<Value = InstanceState> {
    use InstanceState::{Failed, Killed, Lost, Pending, Running, Starting, Stopping, Succeeded, Unknown};
    prop::sample::select(vec![Pending, Starting, Running, Stopping, Succeeded, Failed, Killed, Lost, Unknown])
}

fn ended() -> impl Strategy<Value = EndedAttempt> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (any::<u64>(), any::<u64>(), state(), flags, "[a-z]{0,300}", prop::collection::vec("[a-z]{0,99}", 0..60))
        .prop_map(|(attempt, task_version, state, (was_asked, counts, may_run), reason, last_lines)| {
            EndedAttempt {
                attempt: Attempt(attempt),
                task_version,
                node: may_run.then(|| id("a")),
                state,
                was_asked,
                counts,
                may_run,
                reason,
                last_lines,
            }
        })
}

/// Records as nobody should write them: any state with any history.
fn record() -> impl Strategy<Value = InstanceRecord> {
    let name = prop_oneof![(0..5_u32).prop_map(InstanceName::Index), Just(InstanceName::Node(id("a")))];
    let place = prop::option::of((any::<bool>(), 0..3_u64, prop::option::of(0..300_usize)));
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<bool>());
    (name, numbers, state(), place, prop::collection::vec(ended(), 0..7)).prop_map(
        |(instance, (attempt, revision, task_version, failures, replaces_lost), state, place, ended)| {
            let place = place.map(|(is_a, generation, task)| Place {
                node: id(if is_a { "a" } else { "z" }),
                generation: Generation::from_u64(generation),
                task: task.map(|length| TaskName(Bytes::from(vec![1; length]))),
            });
            let job = "web".parse().unwrap();
            InstanceRecord {
                job,
                instance,
                attempt: Attempt(attempt),
                revision,
                state,
                task_version,
                place,
                failures,
                replaces_lost,
                ended,
            }
        },
    )
}

fn any_spec() -> impl Strategy<Value = JobSpec> {
    let count = prop_oneof![(0..9_u32).prop_map(Count::Exactly), Just(Count::PerNode)];
    let lost = prop_oneof![
        Just(LostPolicy::Keep),
        (0..99_u64).prop_map(|after| LostPolicy::StopAfter(Duration::from_secs(after)))
    ];
    let body = prop::collection::vec(any::<u8>(), 0..99);
    (count, lost, body, any::<bool>(), any::<bool>()).prop_map(|(count, on_lost, body, stopped, spreads)| {
        let mut job = JobSpec { on_lost, stopped, body: body.into(), ..spec(count) };
        if spreads {
            job.preferences = phalanx_placement::Preferences::new(Ranking::Pack(Metric::Cpu))
                .spread_over("rack".parse().unwrap(), Some(2))
                .unwrap();
        }
        job.requirements.used_max_percent.insert(Metric::Memory, 80);
        job
    })
}

proptest! {
    #[test]
    fn specs_and_records_are_read_as_they_were_written(job in any_spec(), record in record()) {
        let bytes = postcard::to_stdvec(&job).unwrap();
        prop_assert_eq!(postcard::from_bytes::<JobSpec>(&bytes), Ok(job));
        let bytes = postcard::to_stdvec(&record).unwrap();
        prop_assert_eq!(postcard::from_bytes::<InstanceRecord>(&bytes), Ok(record));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), job in any_spec(), cut in any::<usize>()) {
        let _ = postcard::from_bytes::<InstanceRecord>(&bytes);
        if let Ok(job) = postcard::from_bytes::<JobSpec>(&bytes) {
            let _ = job.check();
        }
        let mut spoilt = postcard::to_stdvec(&job).unwrap();
        let place = cut % spoilt.len();
        spoilt[place] ^= 1 << (cut % 8);
        if let Ok(job) = postcard::from_bytes::<JobSpec>(&spoilt) {
            let _ = job.check();
        }
    }

    #[test]
    fn a_supervisor_takes_any_record_and_keeps_it_within_its_cap(job in any_spec(), record in record()) {
        let mut world = World::new(&["a"], JobSpec { count: Count::Exactly(0), ..spec(Count::Exactly(0)) });
        let job = job.after(&world.spec);
        let instance = record.instance.clone();
        world.supervisor.handle_job(world.now, job, [record]).unwrap();
        let name = world.spec.name.clone();
        for _ in 0..9 {
            while world.supervisor.poll_action().is_some() {}
            if let Some(at) = world.supervisor.poll_timeout() {
                world.now = world.now.max(at);
                world.supervisor.handle_timeout(world.now);
            }
            let view = world.supervisor.job(&name).unwrap();
            for record in view.records().filter(|record| record.instance == instance) {
                let length = postcard::to_stdvec(record).unwrap().len();
                prop_assert!(length < 16 << 10, "{length}");
            }
        }
        prop_assert!(world.spec.class == class());
    }
}
