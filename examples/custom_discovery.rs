//! A way of one's own to find the others: a bulletin board, to which control nodes pin a notice that says where they are.
//! Two control nodes and a worker find each other by it, one more joins later, and one that leaves takes its notice down.
//!
//! The board is a TCP server of a few lines, here in the same program. A notice hangs for as long as the connection stands
//! over which it was pinned, so that nobody has to tidy up after a node that has crashed.
//!
//! ```text
//! cargo run -p examples --bin custom_discovery
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use phalanx::{
    AddressList, Announcement, Candidates, Control, Discover, DiscoverContext, DiscoverError, JobClass,
    JobHandler, NodeStatus, Nothing, Refresh, RequestContext, Secret, StaticPeers, SystemEntropy, Worker,
};
use phalanx_discovery::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Take};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// The most that a board or its reader says over one connection: 128 notices with every address that a node may have.
const SAID_BYTES_MAX: u64 = 1024 * 1024;

/// How long to wait before a board that is away is asked again.
const BOARD_PAUSE: Duration = Duration::from_secs(1);

/// How long the program waits for the cluster to change.
const PATIENCE: Duration = Duration::from_secs(30);

/// The strategy. It keeps nothing of what it finds but the number of the edition that it has read.
struct BulletinBoard {
    board: SocketAddr,
    edition: AtomicU64,
}

impl BulletinBoard {
    fn at(board: SocketAddr) -> Self {
        Self { board, edition: AtomicU64::new(0) }
    }

    /// Opens a connection, and says one line.
    async fn say(&self, line: &str) -> io::Result<BufReader<Take<TcpStream>>> {
        let mut connection = TcpStream::connect(self.board).await?;
        connection.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(BufReader::new(connection.take(SAID_BYTES_MAX)))
    }

    async fn wait_for_news(&self) -> io::Result<()> {
        let mut answer = self.say(&format!("await {}", self.edition.load(Ordering::Relaxed))).await?;
        answer.read_line(&mut String::new()).await?;
        Ok(())
    }
}

impl Discover for BulletinBoard {
    /// Reads the board: the number of its edition, then the addresses of one node a line.
    async fn find(&self, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        let mut answer =
            self.say(&format!("read {}", cluster(context))).await.map_err(DiscoverError::other)?;
        let mut text = String::new();
        answer.read_to_string(&mut text).await.map_err(DiscoverError::other)?;
        let (edition, notices) =
            text.split_once('\n').ok_or_else(|| DiscoverError::other("a torn notice"))?;
        self.edition.store(edition.parse().map_err(DiscoverError::other)?, Ordering::Relaxed);
        // What is no address, somebody else has scribbled there.
        let addresses = notices.lines().filter_map(|line| line.parse::<AddressList>().ok()).flatten();
        // Addresses may be names: these are looked up as those of any peer.
        StaticPeers::new(addresses).find(context).await
    }

    /// The board itself says when there is another edition of it.
    async fn changed(&self, _: &DiscoverContext) {
        while self.wait_for_news().await.is_err() {
            sleep(BOARD_PAUSE).await;
        }
    }

    /// Pins a notice, and keeps the connection by which it hangs.
    async fn announce(
        &self,
        context: &DiscoverContext,
        who: &Announcement,
        mut withdrawn: BoxFuture<'_, ()>,
    ) -> Result<(), DiscoverError> {
        let line = format!("pin {} {} {}", cluster(context), who.boot.node, who.addresses);
        let mut answer = self.say(&line).await.map_err(DiscoverError::other)?;
        let mut ignored = Vec::new();
        tokio::select! {
            biased;
            () = &mut withdrawn => {}
            // The caller comes again, and pins it to the board that is there then.
            _ = answer.read_to_end(&mut ignored) => return Err(DiscoverError::other("the board fell off the wall")),
        }
        answer.get_mut().get_mut().shutdown().await.map_err(DiscoverError::other)?;
        // The board hangs up once the notice is down.
        answer.read_to_end(&mut ignored).await.map(drop).map_err(DiscoverError::other)
    }

    /// There is no need to look often, where one hears of changes.
    fn refresh(&self) -> Refresh {
        Refresh::Every(Duration::from_secs(60))
    }
}

/// On a board for several clusters each notice says whose it is. The id follows from name and secret, and gives neither away.
fn cluster(context: &DiscoverContext) -> &str {
    context.cluster.as_ref().map_or("-", |cluster| &cluster.id)
}

/// What hangs on the board: by the number of the connection, cluster, node and addresses.
#[derive(Default)]
struct Board {
    edition: u64,
    notices: BTreeMap<u64, [String; 3]>,
}

impl Board {
    fn names(&self) -> Vec<&str> {
        self.notices.values().map(|[_, node, _]| node.as_str()).collect()
    }
}

/// Answers everybody who comes, each for themselves.
async fn serve(listener: TcpListener, board: Arc<watch::Sender<Board>>) {
    let mut number = 0;
    while let Ok((connection, _)) = listener.accept().await {
        number += 1;
        tokio::spawn(answer(connection, number, board.clone()));
    }
}

async fn answer(mut connection: TcpStream, number: u64, board: Arc<watch::Sender<Board>>) -> io::Result<()> {
    let (reader, mut writer) = connection.split();
    let mut lines = BufReader::new(reader.take(SAID_BYTES_MAX)).lines();
    let line = lines.next_line().await?.unwrap_or_default();
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["read", cluster] => {
            let mut text = String::new();
            {
                let board = board.borrow();
                text.push_str(&format!("{}\n", board.edition));
                for [_, _, addresses] in board.notices.values().filter(|[of, ..]| of == cluster) {
                    text.push_str(&format!("{addresses}\n"));
                }
            }
            writer.write_all(text.as_bytes()).await
        }
        ["await", seen] => {
            let _ = board.subscribe().wait_for(|board| board.edition.to_string() != *seen).await;
            writer.write_all(b"news\n").await
        }
        ["pin", cluster, node, addresses] => {
            pin(&board, number, Some([*cluster, *node, *addresses].map(str::to_owned)));
            // Until they hang up, or their process is gone.
            let _ = lines.next_line().await;
            pin(&board, number, None);
            Ok(())
        }
        _ => writer.write_all(b"read CLUSTER, await EDITION, or pin CLUSTER NODE ADDRESSES\n").await,
    }
}

/// Pins a notice, or takes it down.
fn pin(board: &watch::Sender<Board>, number: u64, notice: Option<[String; 3]>) {
    board.send_modify(|board| {
        board.edition += 1;
        match notice {
            Some(notice) => board.notices.insert(number, notice),
            None => board.notices.remove(&number),
        };
        println!("  the board, edition {}: {}", board.edition, board.names().join(", "));
    });
}

/// The contract: a greeting.
struct Greeting;

impl JobClass for Greeting {
    const NAME: &'static str = "greeting";
    const VERSION: u32 = 1;
    type Request = String;
    type Reply = String;
    type Task = Nothing;
    type Output = Nothing;
    type Command = Nothing;
    type CommandReply = Nothing;
    type Event = Nothing;
    type Error = Nothing;
}

/// The worker's half.
struct Greeter;

impl JobHandler<Greeting> for Greeter {
    async fn request(&self, cx: RequestContext, whom: String) -> Result<String, Nothing> {
        Ok(format!("{} greets {whom}", cx.worker()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Not that a node has found itself on the board, which it always does.
    tracing_subscriber::fmt().with_env_filter("warn,phalanx_transport::prove=error").init();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let board = Arc::new(watch::Sender::new(Board::default()));
    tokio::spawn(serve(listener, board.clone()));
    let secret = Secret::generate(&SystemEntropy::new());

    println!("two control nodes and a worker know nothing but the board at {at}:");
    let started = Instant::now();
    let athens = control("athens", &secret, at).await?;
    let sparta = control("sparta", &secret, at).await?;
    let worker = Worker::builder("city", secret.worker_credential())
        .id("herald")
        .discover(BulletinBoard::at(at))
        .job::<Greeting>(Greeter)
        .start()
        .await?;
    sees(&athens, 2).await?;
    timeout(PATIENCE, worker.wait_for(NodeStatus::Ready)).await?;
    println!("{}", athens.worker(worker.id()).request::<Greeting>("athens".to_owned()).await?);
    println!("  after {} ms", started.elapsed().as_millis());

    println!("\na third one reads who is there, and pins its own notice:");
    let started = Instant::now();
    let thebes = control("thebes", &secret, at).await?;
    for control in [&athens, &sparta, &thebes] {
        sees(control, 3).await?;
    }
    println!("{}", thebes.worker(worker.id()).request::<Greeting>("thebes".to_owned()).await?);
    println!("  after {} ms", started.elapsed().as_millis());

    println!("\nsparta leaves:");
    sparta.shutdown().await;
    assert_eq!(board.borrow().names(), ["athens", "thebes"], "who has left is found no more");
    println!("{}", thebes.worker(worker.id()).request::<Greeting>("thebes again".to_owned()).await?);

    println!("\nthe others end:");
    worker.shutdown().await;
    thebes.shutdown().await;
    athens.shutdown().await;
    assert!(board.borrow().notices.is_empty(), "nobody's notice is left");
    Ok(())
}

async fn control(name: &str, secret: &Secret, board: SocketAddr) -> Result<Control, Box<dyn Error>> {
    let builder = Control::builder("city", secret).id(name).listen("127.0.0.1:0");
    Ok(builder.discover(BulletinBoard::at(board)).expected_controls(2).start().await?)
}

/// Waits until a control node sees so many of them active.
async fn sees(control: &Control, count: usize) -> Result<(), Box<dyn Error>> {
    let mut cluster = control.cluster();
    timeout(PATIENCE, cluster.wait_for(|view| view.roster.active().count() == count)).await??;
    Ok(())
}
