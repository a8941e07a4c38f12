//! Lists: pages put together, within caps.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use super::api::Api;
use super::endpoint::Endpoint;
use super::error::ApiError;
use super::objects::Page;
use crate::{Attempt, Candidates, DiscoverContext};

/// How many objects a page has: at a hundred endpoints a slice, or ten kilobytes a Pod, less than a megabyte.
const PAGE_ITEMS: &str = "50";

/// The most bytes of a page: the largest objects that there can be fill it with five.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// The most objects: slices for far more endpoints than candidates, or that many Pods.
const ITEMS_MAX: usize = 1_024;

/// The most endpoints that are kept: some more than candidates, so that the ready ones come first.
const ENDPOINTS_MAX: usize = 8 * Candidates::LENGTH_MAX;

/// The most pages, also of a server that gives none or few objects on each.
const PAGES_MAX: usize = 64;

/// How often to begin anew where the server has forgotten the next page.
const RESTARTS_MAX: usize = 2;

/// The longest that all pages take together.
const LIST_TIME_MAX: Duration = Duration::from_secs(30);

/// The objects that are there, by name, as of a version.
#[derive(Debug, Default)]
pub(super) struct Listed {
    items: BTreeMap<String, Vec<Endpoint>>,
    pub(super) version: String,
}

impl Listed {
    /// Puts an object in, or in the place of what it was; says whether there is room.
    pub(super) fn put(&mut self, name: String, mut endpoints: Vec<Endpoint>) -> bool {
        self.items.remove(&name);
        let kept: usize = self.items.values().map(Vec::len).sum();
        endpoints.sort_by_key(|endpoint| endpoint.rank);
        let has_room = self.items.len() < ITEMS_MAX && kept + endpoints.len() <= ENDPOINTS_MAX;
        endpoints.truncate(ENDPOINTS_MAX - kept);
        if self.items.len() < ITEMS_MAX {
            self.items.insert(name, endpoints);
        }
        has_room
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, name: &str) {
        self.items.remove(name);
    }

    /// All endpoints without repeats, the best first, else in the order of their objects' names.
    pub(super) fn candidates(&self) -> Candidates {
        let mut endpoints: Vec<_> = self.items.values().flatten().collect();
        endpoints.sort_by_key(|endpoint| endpoint.rank);
        endpoints.into_iter().map(|endpoint| endpoint.candidate.clone()).collect()
    }
}

impl Api<'_> {
    /// Everything that is there now.
    pub(super) async fn list(&self, context: &DiscoverContext) -> Result<Listed, ApiError> {
        let listed = timeout(LIST_TIME_MAX, self.list_pages(context)).await;
        listed.unwrap_or_else(|_| {
            let reason = format!("the list is not whole after {} s", LIST_TIME_MAX.as_secs());
            Err(ApiError::Unreachable { server: self.server.clone(), reason })
        })
    }

    async fn list_pages(&self, context: &DiscoverContext) -> Result<Listed, ApiError> {
        let mut listed = Listed::default();
        let (mut next, mut restarts): (Option<String>, _) = (None, 0);
        for _ in 0..PAGES_MAX {
            let page = self.page(context, next.as_deref()).await;
            let page = match page {
                Err(ApiError::Gone) if next.is_some() && restarts < RESTARTS_MAX => {
                    restarts += 1;
                    (listed, next) = (Listed::default(), None);
                    continue;
                }
                page => page?,
            };
            if listed.version.is_empty() {
                listed.version = page.version;
            }
            let mut has_room = true;
            for item in page.items {
                has_room &= listed.put(item.name, item.endpoints);
            }
            next = page.next;
            if next.is_none() || !has_room {
                break;
            }
        }
        if next.is_some() {
            self.strategy.too_many.call_once(|| {
                warn!(list = %self.name(), "there is more than can be control nodes: narrow the selector");
            });
        }
        Ok(listed)
    }

    /// One page, noted as an attempt.
    async fn page(&self, context: &DiscoverContext, next: Option<&str>) -> Result<Page, ApiError> {
        let page = self.read_page(next).await;
        context.tried(|| Attempt {
            kind: self.strategy.resource.as_str(),
            name: self.name(),
            outcome: page.as_ref().map(lines).map_err(ToString::to_string),
        });
        page
    }

    async fn read_page(&self, next: Option<&str>) -> Result<Page, ApiError> {
        let mut query = vec![("limit", PAGE_ITEMS)];
        query.extend(next.map(|next| ("continue", next)));
        let body = self.body(self.get("list", &query).await?, PAGE_BYTES_MAX).await?;
        let page = self.strategy.resource.page(&body, &self.strategy.choice);
        page.map_err(|error| ApiError::Garbled { server: self.server.clone(), reason: error.to_string() })
    }
}

fn lines(page: &Page) -> Vec<String> {
    let endpoints =
        page.items.iter().flat_map(|item| item.endpoints.iter().map(move |one| (&item.name, one)));
    let lines = endpoints.take(Candidates::LENGTH_MAX);
    lines.map(|(name, endpoint)| format!("{name} {endpoint}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::endpoint::{Choice, Rank};

    fn endpoint(last: u16, rank: Rank) -> Endpoint {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + u32::from(last));
        Choice::default().endpoint(ip.into(), 7000, rank).expect("everything is wanted")
    }

    #[test]
    fn candidates_are_the_best_first_and_none_twice() {
        let mut listed = Listed::default();
        listed.put("b".to_owned(), vec![endpoint(3, Rank::Ready), endpoint(1, Rank::Terminating)]);
        listed.put("a".to_owned(), vec![endpoint(2, Rank::NotReady), endpoint(3, Rank::NotReady)]);
        listed.put("c".to_owned(), vec![endpoint(4, Rank::Ready)]);
        let sockets = |listed: &Listed| -> Vec<String> {
            listed.candidates().iter().map(|found| found.socket.ip().to_string()).collect()
        };
        assert_eq!(sockets(&listed), ["10.0.0.3", "10.0.0.4", "10.0.0.2", "10.0.0.1"]);
        listed.put("b".to_owned(), vec![]);
        listed.remove("c");
        assert_eq!(sockets(&listed), ["10.0.0.2", "10.0.0.3"]);
    }

    #[test]
    fn what_is_kept_is_capped() {
        let mut listed = Listed::default();
        let many =
            |from: u16| (from..from + 1_000).map(|last| endpoint(last, Rank::Ready)).collect::<Vec<_>>();
        let room: Vec<bool> = (0..6).map(|at| listed.put(format!("slice-{at}"), many(at * 1_000))).collect();
        assert_eq!(room, [true, true, true, true, false, false]);
        assert_eq!(listed.items.values().map(Vec::len).sum::<usize>(), ENDPOINTS_MAX);
        let mut listed = Listed::default();
        assert!((0..ITEMS_MAX).all(|at| listed.put(format!("{at}"), vec![])));
        assert!(!listed.put("more".to_owned(), vec![]));
        assert!(listed.put("7".to_owned(), vec![endpoint(1, Rank::Ready)]));
        assert_eq!(listed.items.len(), ITEMS_MAX);
    }
}
