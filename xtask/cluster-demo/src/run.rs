//! The demo from its start to its report.

use std::io::IsTerminal;
use std::path::PathBuf;

use crate::demo::{AnyError, Demo, Quit};
use crate::input;
use crate::live::Screen;
use crate::options::Options;
use crate::page;
use crate::report::Report;
use crate::work::Work;

/// Runs the demo. Says whether everything that must hold did.
pub(crate) async fn run(options: Options) -> Result<bool, AnyError> {
    let folder = match &options.input {
        Some(folder) => folder.clone(),
        None => repository()?,
    };
    let files = input::load(&folder)?;
    if files.is_empty() {
        return Err(format!("there is no file in {}", folder.display()).into());
    }
    let bytes: u64 = files.iter().map(|file| file.summary.bytes).sum();
    println!("{} files, {bytes} bytes, from {}", files.len(), folder.display());
    let is_live = !options.headless && std::io::stdout().is_terminal();
    let screen = if is_live { Some(Screen::open()?) } else { None };
    let mut demo = Demo::new(Work::new(files, options.seed), screen)?;
    demo.equip(&options).await?;
    let outcome = demo.perform(&options).await;
    let outcome = match outcome {
        Err(error) if error.is::<Quit>() => demo.wind_up().await,
        other => other,
    };
    // Whatever comes now is printed: the terminal has to be as it was.
    let was_live = demo.screen.take().is_some();
    if was_live {
        demo.journal.lines.iter().for_each(|line| println!("{line}"));
        println!("ending every process …");
    }
    let orphans = demo.processes.stop().await;
    demo.clear_containers().await;
    let report = Report { orphans, ..demo.report(&options) };
    outcome?;
    let page = page::write(&demo, &report, &options);
    finish(&options, &report, &page)
}

/// The repository that this program was built in, or the present folder.
fn repository() -> std::io::Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    match here.ancestors().find(|folder| folder.join("Cargo.lock").is_file()) {
        Some(root) => Ok(root.to_owned()),
        None => std::env::current_dir(),
    }
}

fn finish(options: &Options, report: &Report, page: &str) -> Result<bool, AnyError> {
    let json = serde_json::to_string_pretty(report)?;
    println!("\n{json}");
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{json}\n"))?;
    }
    std::fs::write(&options.report, page)
        .map_err(|error| format!("{} is not written: {error}", options.report.display()))?;
    let path = std::path::absolute(&options.report)?;
    println!("\nthe page with the plots: {}", path.display());
    let failures = report.failures(options);
    if failures.is_empty() {
        println!("\neverything holds");
    } else {
        println!("\nDOES NOT HOLD: {}", failures.join("; "));
    }
    Ok(failures.is_empty())
}
