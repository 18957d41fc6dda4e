/** Prints the nf_tables generation id of the network namespace it runs in: started inside a lab node by the tests. */
import { LinuxNft } from "../../../src/drivers/nftables/index.ts";

const nft = new LinuxNft({ family: "ip", name: "nodeplane" });
process.stdout.write(`${nft.generation()}\n`);
nft.close();
