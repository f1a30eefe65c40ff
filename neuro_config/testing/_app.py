"""The WSGI application: which path is which endpoint, and what each one answers.

What is refused, and how, follows measurements of the real servers: a bad token is
200 with ``authorized: false``, a malformed header is 400, and the token endpoint takes
forms only and no ``Authorization`` header.
"""

from __future__ import annotations

import json
import threading
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Mapping,
    Optional,
    Tuple,
)

import attr
from werkzeug.wrappers import Request, Response

from neuro_config.testing import _authorize, _render
from neuro_config.testing._account import Account, Snapshot
from neuro_config.testing._faults import Faults, Plan, Reply
from neuro_config.testing._log import Log
from neuro_config.testing._render import Site
from neuro_config.testing._tokens import GrantError, TokenServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

JSON = "application/json; charset=utf-8"
FORM = "application/x-www-form-urlencoded"

Handler = Callable[[Request, Plan], Reply]


def _json(status: int, body: Mapping[str, Any]) -> Reply:
    return Reply(status, json.dumps(body).encode("ascii"), JSON)


def _refusal(error: str, description: str, *, status: int = 400) -> Reply:
    return _json(status, {"error": error, "error_description": description})


def _credentials(request: Request) -> Tuple[str, str]:
    header = request.headers.get("Authorization", "").strip()
    scheme, _, token = header.partition(" ")
    return scheme.lower(), token.strip()


class App:
    """Answer requests; one instance serves all threads.

    Args:
        account: Who may log in and what they see.
        tokens: Codes and tokens.
        faults: What goes wrong.
        log: Where requests are written down.
        site: What the platform says about itself; set anew when it starts.
        user: Who logs in when the client names nobody.
        era: How the configuration looks.
        authorization: ``False`` to show the configuration to anybody.
        interactive: Whether the login shows a form.
    """

    def __init__(
        self,
        *,
        account: Account,
        tokens: TokenServer,
        faults: Faults,
        log: Log,
        site: Site,
        user: str,
        era: str,
        authorization: bool,
        interactive: bool,
    ) -> None:
        self._account = account
        self._tokens = tokens
        self._faults = faults
        self._log = log
        self._user = user
        self._authorization = authorization
        self._interactive = interactive
        self._rendered: Dict[Tuple[Snapshot, Site, str], bytes] = {}
        self.site = site
        self.era = era
        self.stopping = threading.Event()
        self._routes: Dict[str, Tuple[str, Tuple[str, ...], Handler]] = {
            "/api/v1/config": ("config", ("GET", "HEAD"), self._config),
            "/auth": ("auth", ("GET",), self._auth),
            "/token": ("token", ("POST",), self._token),
            "/revoke": ("revoke", ("POST",), self._revoke),
            "/session/end": ("logout", ("GET", "POST"), self._logout),
            "/oauth/show-code": ("show-code", ("GET",), self._show_code),
            "/success": ("other", ("GET",), self._success),
            "/.well-known/openid-configuration": (
                "discovery",
                ("GET",),
                self._discovery,
            ),
        }

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        request = Request(environ)
        # not ``request.path``, which has lost the second slash of ``//auth``
        path = environ["PATH_INFO"]
        endpoint, methods, handler = self._routes.get(
            path, ("other", (request.method,), self._not_found)
        )
        entry = self._log.arrived(
            endpoint,
            method=request.method,
            path=path,
            grant_type=request.form.get("grant_type"),
            client_id=request.values.get("client_id"),
            user_agent=request.headers.get("User-Agent"),
            user=self._bearer(request),
        )
        plan = self._faults.take(endpoint)
        if self.stopping.wait(plan.delay) or plan.drop:
            entry.finish("dropped")
            # the server closes the connection of a client that seems to be gone
            raise ConnectionAbortedError
        if plan.answer is not None:
            reply = plan.answer
        elif request.method not in methods:
            allow = (("Allow", ", ".join(methods)),)
            reply = Reply(405, b"405: Method Not Allowed", headers=allow)
        else:
            reply = handler(request, plan)
        if self.stopping.wait(plan.answer_delay) or plan.lose:
            entry.finish("lost", reuse_detected=reply.reuse_detected)
            raise ConnectionAbortedError
        entry.finish("answered", reply.status, reply.reuse_detected)
        response = Response(
            reply.body, status=reply.status, content_type=reply.content_type
        )
        response.headers.extend(reply.headers)
        return response(environ, start_response)

    # ------------------------------------------------------------- the platform

    def _config(self, request: Request, plan: Plan) -> Reply:
        reply = self._config_body(request, plan)
        version = (("X-Service-Version", f"neuro-config-testing {self.era}"),)
        return attr.evolve(reply, headers=version)

    def _config_body(self, request: Request, plan: Plan) -> Reply:
        refusal = self._config_refusal(request, plan) if self._authorization else None
        if refusal is not None:
            return refusal
        snapshot = self._account.snapshot
        if not snapshot.clusters and _render.needs_cluster(self.era):
            text = "Current user doesn't have access to any cluster."
            return _json(400, {"error": text})
        return Reply(200, self._authorized(snapshot, self.site, self.era), JSON)

    def _config_refusal(self, request: Request, plan: Plan) -> Optional[Reply]:
        if "Authorization" not in request.headers:
            return self._unauthorized()
        scheme, token = _credentials(request)
        if not token:
            return _json(400, {"error": "No credentials"})
        if scheme != "bearer":
            return _json(400, {"error": "Unexpected authorization scheme"})
        if self._bearer(request) is None or plan.refuse:
            return self._unauthorized()
        return None

    def _bearer(self, request: Request) -> Optional[str]:
        """Tell whose valid access token the request carries, if anybody's."""
        scheme, token = _credentials(request)
        user = self._tokens.user_of(token) if scheme == "bearer" else None
        return user if user in self._account.users else None

    def _unauthorized(self) -> Reply:
        return _json(200, _render.unauthorized(self.site, self.era))

    def _authorized(self, snapshot: Snapshot, site: Site, era: str) -> bytes:
        """Render once per state of the account: a large one takes a second."""
        key = (snapshot, site, era)
        body = self._rendered.get(key)
        if body is None:
            rendered = _render.authorized(snapshot, site, era)
            body = json.dumps(rendered).encode("ascii")
            # one is kept; replaced as a whole, so that no thread sees a half
            self._rendered = {key: body}
        return body

    def _not_found(self, request: Request, plan: Plan) -> Reply:
        return Reply(404, b"404: Not Found")

    # ------------------------------------------------- the authorization server

    def _auth(self, request: Request, plan: Plan) -> Reply:
        return _authorize.authorize(
            request.args.to_dict(),
            site=self.site,
            account=self._account,
            tokens=self._tokens,
            user=self._user,
            interactive=self._interactive,
        )

    def _token(self, request: Request, plan: Plan) -> Reply:
        reply = self._client_mistake(request) or self._grant(request.form)
        no_store = (("Cache-Control", "no-store"),)
        return attr.evolve(reply, headers=no_store)

    def _client_mistake(self, request: Request) -> Any:
        if request.mimetype != FORM:
            return _refusal("invalid_request", f"the body must be {FORM}")
        if "Authorization" in request.headers:
            return _refusal("invalid_request", "a public client sends no Authorization")
        if any(len(values) > 1 for _, values in request.form.lists()):
            return _refusal("invalid_request", "a parameter is sent twice")
        if "client_id" not in request.form:
            return _refusal("invalid_request", "client_id is missing")
        if request.form["client_id"] != self.site.client_id:
            return _refusal("invalid_client", "client is unknown", status=401)
        return None

    def _grant(self, form: Mapping[str, str]) -> Reply:
        grant_type = form.get("grant_type")
        try:
            if grant_type == "authorization_code" and "code" in form:
                answer = self._tokens.redeem_code(
                    form["code"],
                    form.get("redirect_uri"),
                    form.get("code_verifier", ""),
                )
            elif grant_type == "refresh_token" and "refresh_token" in form:
                answer = self._tokens.refresh(form["refresh_token"])
            elif grant_type in ("authorization_code", "refresh_token", None):
                return _refusal("invalid_request", "a parameter is missing")
            else:
                return _refusal("unsupported_grant_type", "grant_type is unknown")
        except GrantError as error:
            refusal = _refusal("invalid_grant", error.description)
            return attr.evolve(refusal, reuse_detected=error.reuse_detected)
        return _json(200, answer)

    def _revoke(self, request: Request, plan: Plan) -> Reply:
        mistake: Any = self._client_mistake(request)
        if mistake is not None:
            return mistake  # type: ignore[no-any-return]
        if "token" not in request.form:
            return _refusal("invalid_request", "token is missing")
        # an unknown token is as good as revoked (RFC 7009)
        self._tokens.revoke(request.form["token"])
        return Reply(200)

    def _logout(self, request: Request, plan: Plan) -> Reply:
        return _authorize.log_out(request.values.to_dict(), self.site)

    def _show_code(self, request: Request, plan: Plan) -> Reply:
        return _authorize.show_code(request.args.to_dict())

    def _success(self, request: Request, plan: Plan) -> Reply:
        return _authorize.page(200, "<p>You are logged in.")

    def _discovery(self, request: Request, plan: Plan) -> Reply:
        origin = self.site.origin
        return _json(
            200,
            {
                "issuer": origin,
                "authorization_endpoint": f"{origin}/auth",
                "token_endpoint": f"{origin}/token",
                "revocation_endpoint": f"{origin}/revoke",
                "end_session_endpoint": f"{origin}/session/end",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "revocation_endpoint_auth_methods_supported": ["none"],
                "authorization_response_iss_parameter_supported": True,
            },
        )
