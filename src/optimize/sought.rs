//! What is looked for of a workload.

use super::federation::Rounds;
use super::job::{Job, Kind, Task};
use super::mixed::Mixed;
use super::service::Search;
use super::table::Table;

/// What is looked for: a service comes with its search, which remembers what it worked out.
pub(super) enum Sought<'a> {
    Service(Box<Search<'a>>),
    Mixed(Mixed<'a>),
    Run(Task<'a>),
    Federation(Option<Box<Rounds<'a>>>),
}

impl<'a> Sought<'a> {
    pub fn of(job: &'a Job<'a>, table: &'a Table) -> Self {
        match job.kind {
            Kind::Service(service) => Sought::Service(Box::new(Search::new(job, table, service))),
            Kind::Mixed(profiled) => Sought::Mixed(Mixed::new(job, table, profiled)),
            Kind::Run(task) => Sought::Run(task),
            Kind::Federation(asked, _) => Sought::Federation(Rounds::of(job, table, asked).map(Box::new)),
        }
    }

    /// Whether it found nothing and did not prove that there is nothing.
    pub fn unproven(&self) -> bool {
        match self {
            Sought::Service(search) => search.unproven.get(),
            Sought::Mixed(mixed) => mixed.unproven.get(),
            Sought::Run(_) | Sought::Federation(_) => false,
        }
    }

    /// The search of a service.
    pub fn search(&self) -> Option<&Search<'a>> {
        match self {
            Sought::Service(search) => Some(search),
            Sought::Mixed(_) | Sought::Run(_) | Sought::Federation(_) => None,
        }
    }
}
