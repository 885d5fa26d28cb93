//! What can go wrong in a controller.

/// An error, named by what the caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API said no or did not answer: the key is tried again, later and later.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The controllers cannot start: tell the user and stop.
    #[error("{0}")]
    Config(String),
    /// The object is not as it must be; trying again helps once somebody changes it.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// The object is not there (any more).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Api(error) if is_not_found(error))
    }
}

/// Whether the API answered 404.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the API answered 409.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Takes "it is gone already" for success.
pub fn ignore_not_found<T>(result: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
