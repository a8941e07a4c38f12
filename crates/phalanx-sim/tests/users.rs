//! A job class of a user's own under faults, by nothing but the documented interface: a bank, whose accounts must not be
//! credited twice whatever happens to the nodes in between, and whose clerks count notes and tell each.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phalanx::{
    CallError, CallOptions, EventContext, EventHandler, JobClass, JobHandler, Nothing, RequestContext,
    TaskContext, TaskError,
};
use phalanx_sim as sim;
use phalanx_sim::{Cluster, Fault, Faults, Sim};

/// For how long things go wrong.
const FAULT_TIME: Duration = Duration::from_secs(30);

/// How many notes a clerk counts, one a second.
const NOTES: u64 = 20;

/// The contract.
struct Banking;

impl JobClass for Banking {
    const NAME: &'static str = "banking";
    const VERSION: u32 = 1;
    /// Credit the account of that number.
    type Request = u64;
    type Reply = u64;
    /// Count so many notes.
    type Task = u64;
    type Output = u64;
    type Command = Nothing;
    type CommandReply = Nothing;
    /// A note was counted.
    type Event = u64;
    type Error = String;
}

/// What outlives every node, as a database elsewhere does.
#[derive(Default)]
struct Vault {
    credits: BTreeMap<u64, u64>,
    /// Of each task that its handler has seen to the end: the sum of its notes, and its output.
    counted: Vec<(u64, u64)>,
}

#[derive(Clone, Default)]
struct Bank(Arc<Mutex<Vault>>);

impl Bank {
    fn credits_of(&self, account: u64) -> u64 {
        self.0.lock().unwrap().credits.get(&account).copied().unwrap_or_default()
    }
}

impl JobHandler<Banking> for Bank {
    async fn request(&self, _: RequestContext, account: u64) -> Result<u64, String> {
        // Half of the work before the credit and half of it after, so that a crash meets both.
        tokio::time::sleep(Duration::from_millis(50)).await;
        *self.0.lock().unwrap().credits.entry(account).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(account)
    }

    async fn task(&self, cx: TaskContext<Banking>, notes: u64) -> Result<u64, String> {
        for note in 1..=notes {
            tokio::time::sleep(Duration::from_secs(1)).await;
            cx.emit(note).await.map_err(|error| error.to_string())?;
        }
        Ok(notes * (notes + 1) / 2)
    }
}

impl EventHandler<Banking> for Bank {
    type State = u64;

    async fn event(&self, _: &EventContext, sum: &mut u64, note: u64) {
        *sum += note;
    }

    async fn gap(&self, _: &EventContext, sum: &mut u64, missing: RangeInclusive<u64>) {
        // A note's worth is its number, so that those that are missing are known. A task that is lost has no such end.
        *sum += missing.take_while(|note| *note <= NOTES).sum::<u64>();
    }

    async fn ended(&self, _: &EventContext, sum: &mut u64, end: Result<u64, TaskError<String>>) {
        if let Ok(output) = end {
            self.0.lock().unwrap().counted.push((*sum, output));
        }
    }
}

fn bank_of(bank: &Bank) -> Sim {
    let (clerks, tellers) = (bank.clone(), bank.clone());
    sim::cluster()
        .controls(3)
        .workers(3)
        .fault_time(FAULT_TIME)
        .worker(move |builder, _| builder.job::<Banking>(clerks.clone()))
        .control(move |builder, _| builder.events::<Banking>(tellers.clone()))
}

/// Credits accounts, a new one each time, until the faults are over. Returns how many were credited for sure.
async fn bank_all_day(cluster: &Cluster, bank: &Bank) -> usize {
    let mut answered = 0;
    for account in 0.. {
        if cluster.elapsed() >= FAULT_TIME {
            break;
        }
        let worker = format!("worker-{}", 1 + account % 3).parse::<phalanx::NodeId>().unwrap();
        let options = CallOptions { deadline: Duration::from_secs(3), ..CallOptions::default() };
        let credited = cluster.any_control().worker(&worker).with(options).request::<Banking>(account).await;
        match credited {
            Ok(reply) => {
                assert_eq!((reply, bank.credits_of(account)), (account, 1));
                answered += 1;
            }
            Err(CallError::NotExecuted(_)) => assert_eq!(bank.credits_of(account), 0, "account {account}"),
            Err(CallError::Aborted(_) | CallError::Unknown(_)) => {}
            Err(CallError::Failed(error)) => panic!("nothing in here fails: {error}"),
        }
        cluster.sleep(Duration::from_millis(200)).await;
    }
    answered
}

fn is_balanced(bank: &Bank) {
    let twice: Vec<u64> =
        bank.0.lock().unwrap().credits.iter().filter(|(_, n)| **n > 1).map(|(a, _)| *a).collect();
    assert_eq!(twice, [0; 0], "these accounts were credited more than once");
}

#[test]
fn no_account_is_credited_twice_whatever_goes_wrong() {
    let bank = Bank::default();
    let faults = Faults::all().episodes_per_minute(8.0);
    bank_of(&bank).seeds(3).faults(faults).run(async |cluster| {
        // The vault is the same for all seeds.
        *bank.0.lock().unwrap() = Vault::default();
        let answered = bank_all_day(&cluster, &bank).await;
        assert!(answered > 10, "only {answered} calls were answered");
        is_balanced(&bank);
    });
}

#[test]
fn notes_are_counted_to_the_last_one_while_control_nodes_come_and_go() {
    let bank = Bank::default();
    // The workers stay: with one of them its tasks would end.
    let leaves = |begin, number| {
        let leave = Fault::Leave { node: format!("control-{number}") };
        Faults::none().episode(Duration::from_secs(begin), Duration::from_secs(8), leave)
    };
    for number in 1..=3 {
        *bank.0.lock().unwrap() = Vault::default();
        let sim = bank_of(&bank).faults(leaves(10, number));
        let report = sim.run_seed(number, async |cluster| {
            cluster.formed().await;
            for worker in 1..=3 {
                let worker = format!("worker-{worker}").parse::<phalanx::NodeId>().unwrap();
                // Nobody waits for the outputs: the handlers of events hear how the tasks end.
                cluster.any_control().worker(&worker).start::<Banking>(NOTES).await.unwrap();
            }
            let all = || bank.0.lock().unwrap().counted.len() == 3;
            cluster.wait_for("all have counted", Duration::from_secs(60), all).await;
        });
        assert!(report.is_good(), "{}", sim::explain(&report));
        let sum = NOTES * (NOTES + 1) / 2;
        assert_eq!(bank.0.lock().unwrap().counted, [(sum, sum); 3], "each note is counted once");
    }
}
