//! What the real socket tells of dead peers, and that it costs the others nothing.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(8);

/// A port of this host that nobody has any more.
fn dead(ip: &str) -> SocketAddr {
    let socket = std::net::UdpSocket::bind(format!("{ip}:0")).unwrap();
    socket.local_addr().unwrap()
}

fn bind(listen: &str) -> Arc<dyn UdpSocket> {
    TokioNetwork.bind(listen.parse().unwrap()).unwrap()
}

async fn send(socket: &Arc<impl UdpSocket + ?Sized>, destination: SocketAddr, contents: &[u8]) {
    let transmit = Transmit { destination, mark: None, contents, segment_bytes: None, source: None };
    // A socket that is new to the runtime is not known to be writable.
    while let Err(error) = socket.try_send(&transmit) {
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        timeout(SOON, socket.clone().writable()).await.unwrap().unwrap();
    }
}

async fn receive(socket: &dyn UdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut bytes = vec![0; 2048];
    let mut received = [Received::default()];
    let receive = poll_fn(|cx| socket.poll_recv(cx, &mut [IoSliceMut::new(&mut bytes)], &mut received));
    let count = timeout(SOON, receive).await.unwrap().unwrap();
    assert_eq!(count, 1);
    bytes.truncate(received[0].bytes);
    (received[0].source, bytes)
}

#[tokio::test]
async fn a_dead_port_is_named_on_every_family() {
    for (listen, ip) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "[::1]"), ("[::]:0", "[::1]")] {
        let (socket, gone) = (bind(listen), dead(ip));
        send(&socket, gone, b"anybody there?").await;
        assert_eq!(timeout(SOON, socket.unreachable()).await, Ok(gone), "{listen}");
    }
    // An IPv4 peer of a socket for both families is named as that socket names it.
    let (socket, gone) = (bind("[::]:0"), dead("127.0.0.1"));
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), gone.port());
    send(&socket, mapped, b"anybody there?").await;
    assert_eq!(timeout(SOON, socket.unreachable()).await, Ok(mapped));
}

/// The error of one datagram fails the next call of the system, which may be for another peer.
#[tokio::test]
async fn errors_cost_the_other_peers_nothing() {
    let (socket, peer, gone) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"), dead("127.0.0.1"));
    let (here, there) = (socket.local_addr().unwrap(), peer.local_addr().unwrap());
    for n in 0..200_u8 {
        // On loopback the answer is there when the call returns.
        send(&socket, gone, b"anybody there?").await;
        send(&socket, there, &[n]).await;
        assert_eq!(receive(&*peer).await, (here, vec![n]));
        send(&peer, here, &[n]).await;
        send(&socket, gone, b"anybody there?").await;
        assert_eq!(receive(&*socket).await, (there, vec![n]));
    }
    assert_eq!(timeout(SOON, socket.unreachable()).await, Ok(gone));
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The queue is emptied when nothing else happens, and then everything is quiet.
#[tokio::test]
async fn no_error_keeps_the_socket_busy() {
    let (socket, gone) = (bind("127.0.0.1:0"), dead("127.0.0.1"));
    for _ in 0..20 {
        send(&socket, gone, b"anybody there?").await;
    }
    for _ in 0..20 {
        assert_eq!(timeout(SOON, socket.clone().unreachable()).await, Ok(gone));
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = count.clone().into();
    let mut cx = Context::from_waker(&waker);
    let (mut hints, mut bytes) = (pin!(socket.clone().unreachable()), [0; 64]);
    let mut poll = || {
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        assert!(socket.poll_recv(&mut cx, &mut buffers, &mut [Received::default()]).is_pending());
        assert!(hints.as_mut().poll(&mut cx).is_pending());
    };
    poll();
    let mut woken = 0;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let before = std::mem::replace(&mut woken, count.0.load(Ordering::Relaxed));
        if woken > before {
            poll();
        }
    }
    assert!(woken <= 2, "woken {woken} times for nothing");
}

/// After an error tokio takes the socket for writable for ever. Waiting for room must wait all the same.
#[tokio::test]
async fn a_full_buffer_is_waited_for_after_an_error() {
    let (socket, gone) = (bind("127.0.0.1:0"), dead("127.0.0.1"));
    send(&socket, gone, b"anybody there?").await;
    assert_eq!(timeout(SOON, socket.unreachable()).await, Ok(gone));

    let inner = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let state = UdpSocketState::new((&inner).into()).unwrap();
    error_queue::enable(&inner).unwrap();
    let io = tokio::net::UdpSocket::from_std(inner).unwrap();
    let socket = Arc::new(TokioSocket { io, state, is_full: AtomicBool::new(false) });
    send(&socket, gone, b"anybody there?").await;
    assert_eq!(timeout(SOON, socket.clone().unreachable()).await, Ok(gone));
    // As when the system finds no room: tokio forgets that it was writable, but for the error.
    let blocked = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
    assert!(socket.io.try_io(Interest::WRITABLE, blocked).is_err());
    socket.is_full.store(true, Ordering::Relaxed);
    let began = tokio::time::Instant::now();
    socket.clone().writable().await.unwrap();
    assert!(began.elapsed() >= FULL_BUFFER_PAUSE);
    assert!(!socket.is_full.load(Ordering::Relaxed));
}
