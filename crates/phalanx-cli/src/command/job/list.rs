//! The command that lists jobs.

use clap::Args;
use phalanx_operator::JobLine;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::output::{Format, FormatArguments, Table, print_json, print_table};
use crate::target::Target;

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl List {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let jobs = self.target.connect().await?.jobs().await?;
        match self.format.output {
            Format::Json => print_json(&jobs.iter().map(form).collect()),
            Format::Table => print_table(&table(&jobs)),
        }
    }
}

fn form(job: &JobLine) -> Value {
    json!({
        "name": job.name.as_str(),
        "status": job.status,
        "running": job.running,
        "desired": job.desired,
        "class": job.class,
        "version": job.version,
    })
}

fn table(jobs: &[JobLine]) -> Table {
    let mut table = Table::new(&["JOB", "STATUS", "RUNNING", "DESIRED", "CLASS", "VERSION"]);
    for job in jobs {
        let desired = job.desired.map_or("per-node".to_owned(), |count| count.to_string());
        let (running, version) = (job.running.to_string(), job.version.to_string());
        table.row([job.name.to_string(), job.status.clone(), running, desired, job.class.clone(), version]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_listed() {
        let job = |name: &str, desired, status: &str| JobLine {
            name: name.parse().unwrap(),
            version: 2,
            class: "process/1".to_owned(),
            desired,
            running: 3,
            status: status.to_owned(),
        };
        let jobs = [job("shop/web", Some(4), "placing"), job("watch", None, "placed")];
        let forms: Value = jobs.iter().map(form).collect();
        insta::assert_snapshot!(format!("{}\n{forms:#}", table(&jobs).render(false)));
    }
}
