//! `phalanx-supervise`: holds one program on behalf of a worker. Nodes start it; people have no use for it.

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    phalanx_drivers::process::supervise_if_asked();
    eprintln!("phalanx-supervise is started by a node that runs programs: name it in the node's policy");
    std::process::ExitCode::from(2)
}
