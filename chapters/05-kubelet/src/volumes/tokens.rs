//! Tokens of service accounts for pods: asked for, kept, renewed when four fifths are used up.
//!
//! Upstream: `pkg/kubelet/token/token_manager.go`.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::{Api, PostParams};

use crate::Result;
use crate::decide::spec;

/// The tokens of one pod.
#[derive(Default)]
pub struct Tokens {
    by_audience: HashMap<(String, i64), Token>,
}

struct Token {
    text: String,
    renew_at: Timestamp,
}

impl Tokens {
    /// The token for a projection, new if there is none or it is getting old.
    ///
    /// # Errors
    /// When the API server does not give one.
    pub async fn get(
        &mut self,
        client: &kube::Client,
        pod: &Pod,
        projection: &ServiceAccountTokenProjection,
    ) -> Result<String> {
        let audience = projection.audience.clone().unwrap_or_default();
        let seconds = projection.expiration_seconds.unwrap_or(3600);
        let key = (audience.clone(), seconds);
        let now = Timestamp::now();
        if let Some(token) = self.by_audience.get(&key)
            && now < token.renew_at
        {
            return Ok(token.text.clone());
        }
        let status = request(client, pod, audience, seconds)
            .await?
            .status
            .unwrap_or_default();
        let text = status.token.unwrap_or_default();
        let expires = status.expiration_timestamp.map_or(now, |time| time.0);
        let lifetime = expires.duration_since(now);
        // A day-long token is renewed daily at the latest, as upstream.
        let renew_in = (lifetime * 4 / 5).min(SignedDuration::from_hours(24));
        let token = Token {
            text: text.clone(),
            renew_at: now + renew_in,
        };
        self.by_audience.insert(key, token);
        Ok(text)
    }
}

async fn request(
    client: &kube::Client,
    pod: &Pod,
    audience: String,
    expiration_seconds: i64,
) -> Result<TokenRequest> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let pod_spec = spec::of(pod);
    let account = pod_spec
        .service_account_name
        .as_deref()
        .unwrap_or("default");
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: (!audience.is_empty()).then(|| vec![audience]),
            expiration_seconds: Some(expiration_seconds),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
        }),
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let params = PostParams::default();
    Ok(api.create_token_request(account, &params, &request).await?)
}
