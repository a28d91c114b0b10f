"""An SMTP server (aiosmtpd) that answers as it is told: prints its address, then each e-mail as a line of JSON.

In the environment: PORT (any by default); ANSWERS, a JSON list of how the next e-mails are answered (a reply such as
`451 later`; `die`: the server ends once it has received it, without a reply; or `hang`: it never replies), those after
them are taken; CERT and KEY, files by which it offers STARTTLS, or with IMPLICIT_TLS speaks TLS from the beginning;
PASSWORD, by which the user `latchkey` must sign in.
"""

import asyncio
import email
import email.policy
import json
import os
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

answers = json.loads(os.environ.get("ANSWERS", "[]"))
password = os.environ.get("PASSWORD")
implicit = "IMPLICIT_TLS" in os.environ


def body(message, kind):
    part = message.get_body((kind,))
    return part.get_content() if part else None


class Handler:
    async def handle_DATA(self, server, session, envelope):
        # The parser of the standard library, and strictly: what is malformed is an error.
        message = email.message_from_bytes(envelope.content, policy=email.policy.SMTP + email.policy.strict)
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in message.items()},
            "type": message.get_content_type(),
            "text": body(message, "plain"),
            "html": body(message, "html"),
            "encrypted": implicit or session.ssl is not None,
            "signed_in": bool(session.authenticated),
        }
        print(json.dumps(told), flush=True)
        answer = answers.pop(0) if answers else "250 taken"
        if answer == "die":
            os._exit(1)
        if answer == "hang":
            await asyncio.Event().wait()
        return answer


def authenticate(server, session, envelope, mechanism, given):
    right = given.login == b"latchkey" and given.password == (password or "").encode()
    # Without a reply of its own, a wrong one is answered 535.
    return AuthResult(success=right, handled=False)


async def main():
    context = None
    if "CERT" in os.environ:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(os.environ["CERT"], os.environ["KEY"])

    def session():
        return SMTP(
            Handler(),
            hostname="mail.acme.com",
            tls_context=None if implicit else context,
            require_starttls=context is not None and not implicit,
            auth_require_tls=not implicit,
            authenticator=authenticate if password else None,
            auth_required=password is not None,
            enable_SMTPUTF8=True,
        )

    loop = asyncio.get_running_loop()
    port = int(os.environ.get("PORT", "0"))
    server = await loop.create_server(session, "127.0.0.1", port, ssl=context if implicit else None)
    print(json.dumps("{}:{}".format(*server.sockets[0].getsockname())), flush=True)
    await server.serve_forever()


asyncio.run(main())
