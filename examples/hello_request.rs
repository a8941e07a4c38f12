//! A cluster of two control nodes and two workers in one process: any control node asks any worker.
//!
//! ```text
//! cargo run -p examples --bin hello_request
//! ```

use std::error::Error;

use phalanx::{
    CallError, Control, JobClass, JobHandler, NodeId, NodeStatus, Nothing, Reason, RequestContext, Secret,
    StaticPeers, SystemEntropy, Worker,
};
use serde::{Deserialize, Serialize};

/// The contract: what can be asked, and what is answered.
struct Greeting;

#[derive(Serialize, Deserialize)]
struct Hello {
    from: String,
}

impl JobClass for Greeting {
    const NAME: &'static str = "greeting";
    const VERSION: u32 = 1;
    type Request = Hello;
    type Reply = String;
    type Task = Nothing;
    type Output = Nothing;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = Nothing;
    type Error = Nothing;
}

/// The worker's half.
struct Polite;

impl JobHandler<Greeting> for Polite {
    async fn request(&self, cx: RequestContext, hello: Hello) -> Result<String, Nothing> {
        Ok(format!("good day, {}! {} at your service", hello.from, cx.worker()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("warn").init();
    let secret = Secret::generate(&SystemEntropy::new());

    let athens = control("athens", &secret, StaticPeers::parse("")?).await?;
    let sparta = control("sparta", &secret, StaticPeers::new([athens.local_addr()])).await?;
    println!("control nodes: athens on {}, sparta on {}", athens.local_addr(), sparta.local_addr());
    athens.cluster().wait_for(|view| view.roster.active().count() == 2).await?;

    let mut workers = Vec::new();
    for name in ["leonidas", "pericles"] {
        // Workers get only their own part of the secret: with it nobody can pose as a control node.
        let worker = Worker::builder("hellas", secret.worker_credential())
            .id(name)
            .discover(StaticPeers::new([athens.local_addr(), sparta.local_addr()]))
            .job::<Greeting>(Polite)
            .start()
            .await?;
        worker.wait_for(NodeStatus::Ready).await;
        println!(
            "{name} is ready; its proxy is on {}",
            worker.owner().map_or("-".into(), |node| node.to_string())
        );
        workers.push(worker);
    }

    println!();
    for control in [&athens, &sparta] {
        for name in ["leonidas", "pericles"] {
            let hello = Hello { from: control.id().to_string() };
            let answer = control.worker(&name.parse()?).request::<Greeting>(hello).await?;
            println!("{} asks {name}: {answer}", control.id());
        }
    }

    let stranger: NodeId = "xerxes".parse()?;
    let answer = athens.worker(&stranger).request::<Greeting>(Hello { from: "athens".into() }).await;
    match answer {
        Err(CallError::NotExecuted(Reason::NotFound)) => {
            println!("athens asks xerxes: nobody knows such a worker")
        }
        other => println!("athens asks xerxes: {other:?}"),
    }

    for worker in &workers {
        worker.shutdown().await;
    }
    sparta.shutdown().await;
    athens.shutdown().await;
    Ok(())
}

async fn control(name: &str, secret: &Secret, peers: StaticPeers) -> Result<Control, Box<dyn Error>> {
    let builder = Control::builder("hellas", secret).id(name).listen("127.0.0.1:0");
    Ok(builder.discover(peers).job::<Greeting>(Polite).start().await?)
}
