//! A profile, in the JSON form that the OCI's runtime specification and Docker share.
//!
//! Docker's form has conditions beside (`includes`, `excludes`); of the OCI's form `listenerPath`
//! is not for filters without a listener. What a filter of this machine has no use for is ignored:
//! `architectures`, `archMap`.

use serde::Deserialize;

/// What to do about which system calls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// About those that no rule matches.
    pub default_action: Action,
    /// The error number of a default of `SCMP_ACT_ERRNO`; EPERM if left out.
    #[serde(default)]
    pub default_errno_ret: Option<u16>,
    /// The rules; of those for one system call, the first that matches counts.
    #[serde(default)]
    pub syscalls: Vec<Rule>,
    /// How to load the filter.
    #[serde(default)]
    pub flags: Vec<Flag>,
}

/// What to do about some system calls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Their names. Those that this machine does not have are ignored.
    #[serde(default)]
    pub names: Vec<String>,
    /// One name, as old profiles have it.
    #[serde(default)]
    pub name: Option<String>,
    /// What to do.
    pub action: Action,
    /// The error number of `SCMP_ACT_ERRNO`; EPERM if left out.
    #[serde(default)]
    pub errno_ret: Option<u16>,
    /// What must hold for the call's arguments, all of it.
    #[serde(default)]
    pub args: Option<Vec<Condition>>,
    /// The rule is for containers that are like this.
    #[serde(default)]
    pub includes: Container,
    /// The rule is not for containers that are like this.
    #[serde(default)]
    pub excludes: Container,
}

/// What a rule can depend on, beside the call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Capabilities it holds: `CAP_SYS_ADMIN`.
    #[serde(default)]
    pub caps: Vec<String>,
    /// Machines it may run on, as Go calls them: `amd64`.
    #[serde(default)]
    pub arches: Vec<String>,
    /// The least version of the kernel. All kernels that the sandbox runs on are newer than those
    /// that profiles ask for.
    #[serde(default)]
    pub min_kernel: Option<String>,
}

/// What a filter does about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Action {
    /// The call is made.
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    /// The call fails, with an error number.
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    /// The thread is ended.
    #[serde(rename = "SCMP_ACT_KILL_THREAD", alias = "SCMP_ACT_KILL")]
    KillThread,
    /// The process is ended.
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    /// The process gets SIGSYS.
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    /// Whoever traces the process is asked.
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    /// The call is made, and logged.
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    /// A listener is asked.
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

/// A comparison of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which argument, from 0 to 5.
    pub index: u32,
    /// What it is compared with; of [`Comparison::MaskedEqual`], the mask.
    pub value: u64,
    /// What the masked argument has to be.
    #[serde(default)]
    pub value_two: u64,
    /// How.
    pub op: Comparison,
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub enum Comparison {
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

/// How a filter is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Flag {
    /// For all threads of the process; ours has one.
    #[serde(rename = "SECCOMP_FILTER_FLAG_TSYNC")]
    AllThreads,
    /// Log all that is not simply allowed.
    #[serde(rename = "SECCOMP_FILTER_FLAG_LOG")]
    Log,
    /// Leave speculation of the processor as it is.
    #[serde(rename = "SECCOMP_FILTER_FLAG_SPEC_ALLOW")]
    AllowSpeculation,
}

impl Rule {
    /// A rule without conditions.
    pub fn about(names: &str, action: Action) -> Self {
        Rule {
            names: names.split_whitespace().map(str::to_owned).collect(),
            name: None,
            action,
            errno_ret: None,
            args: None,
            includes: Container::default(),
            excludes: Container::default(),
        }
    }

    /// Whether the rule is for containers with these capabilities on this machine.
    pub fn is_for(&self, capabilities: &[String], machine: &str) -> bool {
        let holds = |cap: &String| capabilities.contains(cap);
        let here = |arch: &String| arch == machine;
        let Container { caps, arches, .. } = &self.includes;
        let included = caps.iter().all(holds) && (arches.is_empty() || arches.iter().any(here));
        let excludes = &self.excludes;
        let excluded = excludes.caps.iter().any(holds) || excludes.arches.iter().any(here);
        included && !excluded
    }
}
