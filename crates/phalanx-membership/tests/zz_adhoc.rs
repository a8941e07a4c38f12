mod common;
use std::time::Duration;
use common::*;
use phalanx_membership::*;
#[test]
fn measure() {
    for n in [16usize, 64, 128] {
        let names: Vec<String> = (0..n).map(|i| format!("node-{i:03}")).collect();
        let mut c = Cluster::new(Config::lan(), 5);
        for x in &names { c.start(x, 1); }
        for x in &names[1..] { c.link(&names[0], x); }
        let t0 = std::time::Instant::now();
        let full = |c: &Cluster| c.cores().all(|core| core.roster().active().count() == n && core.members().iter().filter(|m| m.liveness.is_alive()).count() == n);
        let mut took = Duration::ZERO;
        while !full(&c) && took < Duration::from_secs(30) { c.run_for(Duration::from_millis(100)); took += Duration::from_millis(100); }
        println!("{n}: formed {took:?} wall {:?} bytes/node {}", t0.elapsed(), c.bytes_sent / n as u64);
        c.run_for(Duration::from_secs(20));
        let b = c.bytes_sent;
        c.run_for(Duration::from_secs(30));
        println!("{n}: quiet B/s/node {}", (c.bytes_sent - b) / n as u64 / 30);
        let killed = c.elapsed();
        c.kill(&names[7]);
        c.run_for(Duration::from_secs(30));
        let downs: Vec<Duration> = c.log.iter().filter(|(at, _, e)| *at > killed && matches!(e, Event::Down(_))).map(|(at, ..)| *at - killed).collect();
        println!("{n}: {} downs first {:?} last {:?} renewals {} wall {:?}", downs.len(), downs.iter().min(), downs.iter().max(), c.renewals(), t0.elapsed());
        c.faults.loss_percent = 10;
        let d = c.log.len(); let r = c.renewals();
        if n <= 64 {
        c.run_for(Duration::from_secs(120));
        println!("{n}: 2 min at 10% loss: down events {}, suspects {}, renewals {}", c.log[d..].iter().filter(|(_,_,e)| matches!(e, Event::Down(_))).count(), c.log[d..].iter().filter(|(_,_,e)| matches!(e, Event::Suspect(_))).count(), c.renewals()-r);
        }
    }
}
