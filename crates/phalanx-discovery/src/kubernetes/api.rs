//! Requests to the API server.

use std::time::Duration;

use reqwest::header::{ACCEPT, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::timeout;

use super::error::ApiError;
use super::objects::{Resource, Status};
use super::{ACCOUNT_FOLDER, Kubernetes, check_label, setup};
use crate::DiscoverContext;
use crate::http::{self, HttpError, quoted, read_secret, transfer, whole_body};

/// The most bytes of an answer that says what failed.
const STATUS_BYTES_MAX: usize = 64 << 10;

/// The way to the API server for one look-up or one watch.
pub(super) struct Api<'a> {
    pub(super) strategy: &'a Kubernetes,
    client: Client,
    pub(super) server: String,
    namespace: String,
    collection: Url,
}

impl Resource {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::EndpointSlices => "endpointslices",
            Self::Pods => "pods",
        }
    }

    fn group(self) -> &'static str {
        match self {
            Self::EndpointSlices => "discovery.k8s.io",
            Self::Pods => "",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::EndpointSlices => "apis/discovery.k8s.io/v1",
            Self::Pods => "api/v1",
        }
    }
}

impl<'a> Api<'a> {
    /// Reads the files and the environment; asks nobody.
    pub(super) fn open(strategy: &'a Kubernetes, context: &DiscoverContext) -> Result<Self, ApiError> {
        let set_up = |error: HttpError| ApiError::SetUp(error.to_string());
        let server = match &strategy.server {
            Some(server) => server.clone(),
            None => setup::server_of_pod()?,
        };
        let namespace = match &strategy.namespace {
            Some(namespace) => namespace.clone(),
            None => read_secret(&std::path::Path::new(ACCOUNT_FOLDER).join("namespace")).map_err(set_up)?,
        };
        check_label("namespace", &namespace).map_err(|error| ApiError::SetUp(error.to_string()))?;
        let resource = strategy.resource;
        let (path, plural) = (resource.path(), resource.as_str());
        let collection = Url::parse(&format!("{server}/{path}/namespaces/{namespace}/{plural}"))
            .map_err(|error| ApiError::SetUp(error.to_string()))?;
        let client = http::client(context, &strategy.tls).map_err(set_up)?;
        Ok(Self { strategy, client, server, namespace, collection })
    }

    /// What is asked for, for people to read.
    pub(super) fn name(&self) -> String {
        format!("{}?labelSelector={}", self.collection, self.strategy.selector)
    }

    /// Asks, and gives the answer's head where it is a good one. With a token that is refused it reads the file once more:
    /// it may have just been rotated.
    pub(super) async fn get(&self, verb: &'static str, query: &[(&str, &str)]) -> Result<Response, ApiError> {
        let mut response = self.get_once(query).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            response = self.get_once(query).await?;
        }
        if response.status() == StatusCode::OK {
            Ok(response)
        } else {
            Err(self.refusal(verb, response).await)
        }
    }

    async fn get_once(&self, query: &[(&str, &str)]) -> Result<Response, ApiError> {
        let token = read_secret(&self.strategy.token_file);
        let token = token.map_err(|error| ApiError::SetUp(error.to_string()))?;
        let request = self
            .client
            .get(self.collection.clone())
            .query(&[("labelSelector", self.strategy.selector.as_str())])
            .query(query)
            .header(ACCEPT, "application/json")
            .bearer_auth(token);
        let answer = timeout(self.strategy.request_time_max, request.send()).await;
        let answer = answer.map_err(|_| self.late())?;
        answer.map_err(|error| ApiError::transfer(&self.server, transfer(error)))
    }

    /// The whole body of an answer.
    pub(super) async fn body(&self, mut response: Response, bytes_max: usize) -> Result<Vec<u8>, ApiError> {
        let body = timeout(self.strategy.request_time_max, whole_body(&mut response, bytes_max)).await;
        body.map_err(|_| self.late())?.map_err(|error| ApiError::transfer(&self.server, error))
    }

    fn late(&self) -> ApiError {
        let seconds = self.strategy.request_time_max.as_secs_f32();
        ApiError::Unreachable { server: self.server.clone(), reason: format!("nothing within {seconds} s") }
    }

    /// Why the server has refused.
    async fn refusal(&self, verb: &'static str, response: Response) -> ApiError {
        let status = response.status();
        let asked = response.headers().get(RETRY_AFTER);
        let asked =
            asked.and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
        let body = self.body(response, STATUS_BYTES_MAX).await.unwrap_or_default();
        // Proxies in between answer with pages of their own: those are not worth quoting.
        let message =
            serde_json::from_slice::<Status>(&body).map(|status| status.message).unwrap_or_default();
        let message = match quoted(&message) {
            empty if empty.is_empty() => status.canonical_reason().unwrap_or("no reason given").to_owned(),
            message => message,
        };
        let resource = self.strategy.resource;
        match status.as_u16() {
            401 => ApiError::Unauthorized,
            403 => ApiError::Forbidden {
                verb,
                resource: resource.as_str(),
                group: resource.group(),
                namespace: self.namespace.clone(),
                message,
            },
            410 => ApiError::Gone,
            status @ (429 | 503 | 504) => ApiError::Busy { status, asked, message },
            status => ApiError::Status { status, message },
        }
    }
}
