/** Test code. A server on loopback whose UDP and TCP sockets have one port. */
import type { Socket } from "node:dgram";
import { once } from "node:events";
import type { Server } from "node:net";
import { withFreePort } from "./free-port.ts";

const HOST = "127.0.0.1";

/** @returns the port */
export async function listenOnBoth(udp: Socket, tcp: Server): Promise<number> {
  return await withFreePort(async (port) => {
    await once(tcp.listen(port, HOST), "listening");
    try {
      udp.bind(port, HOST);
      await once(udp, "listening");
    } catch (error) {
      await new Promise((resolve) => tcp.close(resolve));
      throw error;
    }
    return port;
  });
}
