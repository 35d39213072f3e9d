//! The whole backbone on this machine: MiniStack, and on it the two stacks, deployed from their own templates.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::ministack::MiniStack;
use crate::stack::Stack;
use crate::tools::Tools;
use crate::{Api, Progress, invocation, repository, sam, unsupported};

/// How to start a local stack.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder for its data, its process id and its logs.
    pub state: PathBuf,
    /// Where it listens; otherwise anywhere.
    pub port: Option<u16>,
    /// Parameters of template.yaml that differ from samconfig.toml.
    pub overrides: Vec<(String, String)>,
    /// Whether to build before deploying. What is built is shared: several stacks need it once.
    pub build: bool,
    /// What [`sam::build_as`] built of another template, to be deployed instead of today's.
    pub built: Option<PathBuf>,
    /// Where the functions find AWS, when something stands between them and MiniStack.
    pub functions_endpoint: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            state: repository::local_state(),
            port: None,
            overrides: Vec::new(),
            build: true,
            built: None,
            functions_endpoint: None,
        }
    }
}

/// The backbone and the payment provider on a MiniStack. Dropping it stops what [`start`](Self::start) started, unless
/// [`keep`](Self::keep) was called.
#[derive(Debug)]
pub struct LocalStack {
    ministack: MiniStack,
    stack: Stack,
}

impl LocalStack {
    /// Starts MiniStack, unless it runs already with this state, and deploys what has changed.
    ///
    /// # Errors
    /// When a step fails. What was started by then is stopped.
    pub fn start(options: &Options, progress: &Progress) -> Result<Self> {
        let tools = Tools::ready(progress)?;
        let ministack = match MiniStack::find(&options.state) {
            Some(running) if options.port.is_some_and(|port| port != running.port()) => {
                bail!(
                    "it runs on port {} already. To move it, stop it first: cargo orderbus local down",
                    running.port()
                )
            }
            Some(running) => {
                progress.say(format_args!("MiniStack: runs on {} already", running.endpoint()));
                running
            }
            None => {
                let functions_endpoint = options.functions_endpoint.as_deref();
                MiniStack::start_behind(functions_endpoint, &tools, &options.state, options.port, progress)?
            }
        };
        for application in sam::APPLICATIONS {
            let is_orderbus = application == sam::Application::Orderbus;
            let built = options.built.as_deref().filter(|_| is_orderbus);
            if options.build && built.is_none() {
                sam::build(&tools, application, &options.state, progress)?;
            }
            let overrides = if is_orderbus { options.overrides.as_slice() } else { &[] };
            sam::deploy(&tools, application, built, &ministack, overrides, progress).with_context(|| {
                let advice = "To begin anew: cargo orderbus local down";
                format!(
                    "cannot deploy {}. {}",
                    application.name(),
                    if ministack.was_there_before() { advice } else { "" }
                )
            })?;
        }
        let stack = Stack::on_this_machine(&tools, &ministack)?;
        unsupported::make_up(&stack, &ministack)?;
        invocation::write_environment(&ministack)?;
        progress.say("deployed");
        Ok(Self { ministack, stack })
    }

    /// The one that an earlier command left running.
    ///
    /// # Errors
    /// When none runs, or when nothing is deployed on it.
    pub fn find(options: &Options, progress: &Progress) -> Result<Self> {
        let Some(ministack) = MiniStack::find(&options.state) else {
            bail!(
                "no local stack is running. Start it with `cargo orderbus local`, or name one on AWS with --stack"
            );
        };
        let stack = Stack::on_this_machine(&Tools::ready(progress)?, &ministack)?;
        Ok(Self { ministack, stack })
    }

    /// Its HTTP API.
    ///
    /// # Errors
    /// When the stack has none.
    pub fn api(&self) -> Result<Api> {
        Ok(Api::new(self.stack.output("ApiId")?, self.ministack.port()))
    }

    /// What it is made of.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// What it runs on.
    #[must_use]
    pub fn ministack(&self) -> &MiniStack {
        &self.ministack
    }

    /// Lets it run on when this program ends.
    ///
    /// # Errors
    /// When it has ended in the meantime.
    pub fn keep(&mut self) -> Result<()> {
        self.ministack.stay()
    }
}
