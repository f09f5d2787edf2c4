"""A broker on the far host of a lossy link, with a certificate for its address there."""

from daemon_fixture import Daemon
from lossy_link import FAR
from pki_fixture import Pki


class FarDaemon(Daemon):
    def __init__(self, link, **options):
        super().__init__(http=False, listeners=[], **options)
        self._link = link
        files = Pki.shared().issue("far-server", "--kind", "server", "--ip", FAR)
        self.document["listener"] = [
            {"address": f"{FAR}:{self.port}", "certificate": files.certificate,
             "private_key": files.private_key, "client_ca": files.ca, "client_id": "common_name"}]
        self.write_config()

    @property
    def address(self):
        return (FAR, self.port)

    def before_exec(self):
        super().before_exec()
        self._link.enter_far()
