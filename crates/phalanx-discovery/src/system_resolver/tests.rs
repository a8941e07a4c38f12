//! Both families against answers that are timed, and the whole way against a name server on a real socket.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record};
use tokio::net::UdpSocket;

use super::*;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn answer(ip: Option<IpAddr>) -> Result<Lookup, NetError> {
    let records = ip.map(|ip| Record::from_rdata(Name::root(), 60, RData::from(ip)));
    Ok(Lookup::new_with_max_ttl(Query::new(), records))
}

/// Asks with answers that each family gives after so many milliseconds.
async fn ask(
    v4: (u64, Result<Lookup, NetError>),
    v6: (u64, Result<Lookup, NetError>),
) -> (Result<Vec<IpAddr>, String>, Duration) {
    let begin = tokio::time::Instant::now();
    let found = both_families(|family| {
        let (after_ms, answer) = if family == RecordType::A { v4.clone() } else { v6.clone() };
        async move {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            answer
        }
    });
    let name = DnsName::new("any.test").unwrap();
    let (v4, v6) = found.await;
    let fail = |reason| ResolveError::Failed { name: name.clone(), reason };
    let time = begin.elapsed();
    let v4 = v4.map(|ips| ips.into_iter().filter_map(ipv4).collect()).map_err(fail);
    let v6 = v6.map(|ips| ips.into_iter().filter_map(ipv6).collect()).map_err(fail);
    let found = match (IpAnswers { v4, v6 }).joined(&name) {
        Err(ResolveError::Failed { reason, .. }) => Err(reason),
        answer => Ok(answer.unwrap_or_default()),
    };
    (found, time)
}

#[tokio::test(start_paused = true)]
async fn both_families_are_asked_at_once_and_ipv4_comes_first() {
    let both = ask((40, answer(Some(V4))), (30, answer(Some(V6)))).await;
    assert_eq!(both, (Ok(vec![V4, V6]), Duration::from_millis(40)));
    let only_v6 = ask((30, answer(None)), (400, answer(Some(V6)))).await;
    assert_eq!(only_v6, (Ok(vec![V6]), Duration::from_millis(400)));
    assert_eq!(ask((1, answer(None)), (1, answer(None))).await.0, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_family_that_is_silent_or_broken_holds_up_the_other_one_briefly() {
    let silent = ask((10, answer(Some(V4))), (60_000, answer(Some(V6)))).await;
    assert_eq!(silent, (Ok(vec![V4]), Duration::from_millis(10) + SECOND_FAMILY_GRACE));
    let broken = ask((10, Err(NetError::Timeout)), (20, answer(Some(V6)))).await;
    assert_eq!(broken, (Ok(vec![V6]), Duration::from_millis(20)));
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_an_error_within_its_time() {
    let (silent, time) = ask((60_000, answer(None)), (60_000, answer(None))).await;
    assert_eq!((silent, time), (Err("no answer within 5 s".to_owned()), LOOKUP_TIME_MAX));
    // No IPv6 address, and no answer for IPv4: that is not "no such name".
    let (half, _) = ask((20, Err(NetError::Busy)), (10, answer(None))).await;
    assert_eq!(half, Err("resource too busy".to_owned()));
}

#[tokio::test]
async fn localhost_is_known_without_a_name_server() {
    let found = SystemResolver::new().resolve(&DnsName::new("localhost").unwrap()).await.unwrap();
    assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty(), "{found:?}");
}

/// Answers to queries for some names under `test.`, as a name server would.
fn respond(query: &[u8]) -> Option<Vec<u8>> {
    let mut message = Message::from_vec(query).ok()?.into_response();
    let query = message.queries.first()?.clone();
    let answer = match (query.name().to_ascii().as_str(), query.query_type()) {
        ("both.test.", RecordType::A) | ("half.test.", RecordType::A) => Some(RData::from(V4)),
        ("both.test.", RecordType::AAAA) => Some(RData::from(V6)),
        // Of this name the answer for IPv6 is lost.
        ("half.test.", _) => return None,
        ("broken.test.", _) => {
            message.metadata.response_code = ResponseCode::ServFail;
            None
        }
        ("bare.test.", _) => None,
        _ => {
            message.metadata.response_code = ResponseCode::NXDomain;
            None
        }
    };
    if let Some(answer) = answer {
        message.add_answer(Record::from_rdata(query.name().clone(), 60, answer));
    }
    message.to_vec().ok()
}

/// A resolver whose one name server is a task of this test, as if the system were set up so.
async fn resolver_with_name_server() -> SystemResolver {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            if let Some(response) = respond(&query[..length]) {
                socket.send_to(&response, from).await.unwrap();
            }
        }
    });
    let dns = SystemResolver::with_server(server).dns().unwrap();
    SystemResolver { server: None, dns: Mutex::new(Some(dns)) }
}

#[tokio::test]
async fn a_name_server_is_asked_and_its_answers_are_told_apart() {
    let resolver = resolver_with_name_server().await;
    let name = |text: &str| DnsName::new(text).unwrap();
    assert_eq!(resolver.resolve(&name("both.test.")).await, Ok(vec![V4, V6]));
    assert_eq!(resolver.resolve(&name("half.test.")).await, Ok(vec![V4]));
    for missing in ["bare.test.", "nobody.test."] {
        let not_found = ResolveError::NotFound { name: name(missing) };
        assert_eq!(resolver.resolve(&name(missing)).await, Err(not_found));
    }
    assert!(resolver.dns.lock().unwrap().is_some());
    // A server that fails has not said no; and the set-up is read again at the next look-up.
    let failed = resolver.resolve(&name("broken.test.")).await;
    assert!(matches!(failed, Err(ResolveError::Failed { .. })), "{failed:?}");
    assert!(resolver.dns.lock().unwrap().is_none());
}
